"""The folder with the checkpoints of one training."""

import json
import os
import pathlib
import re
import shutil
import tempfile
import warnings
from typing import Any

import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.training import distribution
from tf_transfer.utils.storage.files import check_no_pattern
from tf_transfer.utils.storage.folders import Folder
from tf_transfer.utils.storage.json_fields import Fields

_INDEX_NAME = re.compile(r"step-(\d+)\.index")


class CheckpointFolder:
    """Writes the checkpoints of a training, and finds the newest one.

    A checkpoint is complete or absent: its index is renamed last. Nothing in
    the folder is believed but the files of checkpoints, and no link followed.

    Args:
        path: of the folder; None saves nothing.
        keep: number of newest checkpoints to keep.
        scope: the strategy of the training. Only the chief of several workers
            writes to the folder.
    """

    def __init__(
        self,
        path: pathlib.Path | None,
        keep: int,
        scope: tf.distribute.Strategy,
    ):
        if path is not None:
            check_no_pattern(path)
        self.path = path
        self.keep = keep
        self.scope = scope
        self._folder: Folder | None = None
        self._discarded: str | None = None

    def newest_complete(self) -> pathlib.Path | None:
        """Returns the newest checkpoint whose tensors can all be read.

        Warns of each that is damaged.
        """
        if self.path is None or not self.path.is_dir():
            return None
        folder = Folder(self.path)
        for step in sorted(_steps(folder), reverse=True):
            path = self.path / f"step-{step}"
            if _is_complete(folder, step):
                return path
            warnings.warn(
                f"The checkpoint {path} is damaged; going on from the one "
                "before it.",
                stacklevel=3,
            )
        return None

    def num_workers(self) -> int:
        """Returns the number of processes that save together."""
        return distribution.num_workers(self.scope)

    def save(self, checkpoint: tf.train.Checkpoint, step: int) -> None:
        """Writes a checkpoint.

        Raises:
            InputError: if it cannot be written.
        """
        if self.path is None:
            return
        try:
            if distribution.is_chief(self.scope):
                self._write(checkpoint, step)
            else:
                # All workers must save, but only the chief's files are kept.
                self._discarded = self._discarded or tempfile.mkdtemp()
                checkpoint.write(f"{self._discarded}/step")
        except (OSError, tf.errors.OpError) as error:
            if isinstance(error, tf.errors.OpError) and self.num_workers() > 1:
                raise  # another worker was lost, most likely
            raise InputError(
                f"The checkpoint cannot be written ({_reason(error)}). "
                f"Received: {self.path}"
            ) from error

    def close(self) -> None:
        """Removes what a worker had to write that is not the chief."""
        if self._discarded:
            shutil.rmtree(self._discarded)
            self._discarded = None

    def _write(self, checkpoint: tf.train.Checkpoint, step: int) -> None:
        if self._folder is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._folder = Folder(self.path)
            self._folder.remove_leftovers()
        folder = self._folder
        with folder.filling() as partial:
            checkpoint.write(str(partial / f"step-{step}"))
            names = sorted(file.name for file in partial.iterdir())
            for name in sorted(names, key=_is_index):  # False is first
                os.replace(partial / name, folder.path / name)
        for old in sorted(_steps(folder), reverse=True)[self.keep :]:
            for name in [f"step-{old}.index", *_data_files(folder, old)]:
                folder.remove(name)


def _steps(folder: Folder) -> list[int]:
    """Returns the steps of the checkpoints in a folder."""
    matches = map(_INDEX_NAME.fullmatch, folder.names())
    return [int(match[1]) for match in matches if match]


def _is_index(name: str) -> bool:
    return _INDEX_NAME.fullmatch(name) is not None


def _data_files(folder: Folder, step: int) -> list[str]:
    start = f"step-{step}.data-"
    return [name for name in folder.names() if name.startswith(start)]


def _is_complete(folder: Folder, step: int) -> bool:
    """Returns whether all tensors of a checkpoint can be read."""
    names = [f"step-{step}.index", *_data_files(folder, step)]
    if not all(map(folder.has, names)):
        return False
    try:
        reader = tf.train.load_checkpoint(str(folder.path / f"step-{step}"))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
        return True
    except Exception:  # TensorFlow raises many types here
        return False


def restore(checkpoint: tf.train.Checkpoint, path: pathlib.Path) -> None:
    """Sets the objects of a checkpoint to what a file holds of them.

    Raises:
        InputError: if the file lacks one of them, or it has another shape.
    """
    try:
        status = checkpoint.read(str(path))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            "The folder holds checkpoints of another model or another "
            f"training. Received: {path}"
        ) from error


def read_record(text: str | bytes, path: str | os.PathLike) -> dict[str, Any]:
    """Returns the record of a training in a checkpoint.

    Raises:
        InputError: if it holds something else.
    """
    try:
        fields = Fields(json.loads(text), "record", path)
        fields.integer("step", largest=2**62)
        if fields.number("seconds") < 0 or not (
            isinstance(fields.content.get("inside"), bool)
            and isinstance(fields.content.get("logs"), list)
            and all(isinstance(logs, dict) for logs in fields.content["logs"])
        ):
            raise ValueError("another kind")
        return fields.content
    except (ValueError, RecursionError) as error:  # InputError, too
        raise InputError(
            f"The checkpoint is damaged; remove it. Received: {path}"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror
    return error.message.split(";")[-1].strip()
