"""The folder with the checkpoints of one training."""

import pathlib
import re
import shutil
import tempfile
import warnings

import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.training import distribution

_INDEX_NAME = re.compile(r"step-(\d+)\.index")


class CheckpointFolder:
    """Writes the checkpoints of a training, and finds the newest one.

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
        self.path = path
        self.keep = keep
        self.scope = scope
        self._manager: tf.train.CheckpointManager | None = None
        self._discarded: str | None = None

    def newest_complete(self) -> pathlib.Path | None:
        """Returns the newest checkpoint whose tensors can all be read.

        Warns of each that is damaged.
        """
        if self.path is None or not self.path.is_dir():
            return None
        names = [path.name for path in self.path.iterdir()]
        matches = filter(None, map(_INDEX_NAME.fullmatch, names))
        for step in sorted((int(m[1]) for m in matches), reverse=True):
            path = self.path / f"step-{step}"
            try:
                reader = tf.train.load_checkpoint(str(path))
                for name in reader.get_variable_to_shape_map():
                    reader.get_tensor(name)
                return path
            except Exception:  # TensorFlow raises many types here
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
        """Writes a checkpoint, always of the same object.

        Raises:
            InputError: if it cannot be written.
        """
        if self.path is None:
            return
        try:
            if self._manager is None:
                self._manager = tf.train.CheckpointManager(
                    checkpoint,
                    str(self._folder_to_write()),
                    self.keep,
                    checkpoint_name="step",
                )
            self._manager.save(checkpoint_number=step)
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
            self._discarded = self._manager = None

    def _folder_to_write(self) -> pathlib.Path | str:
        if not distribution.is_chief(self.scope):
            # All workers must save, but only the chief's files are kept.
            self._discarded = tempfile.mkdtemp()
            return self._discarded
        # If the process is killed while it saves, such a folder remains.
        for path in self.path.glob("step-*_temp"):
            shutil.rmtree(path, ignore_errors=True)
        return self.path


def restore(checkpoint: tf.train.Checkpoint, path: pathlib.Path) -> None:
    """Sets the objects of a checkpoint to what a file holds of them.

    Raises:
        InputError: if the file lacks one of them, or it has another shape.
    """
    try:
        status = checkpoint.restore(str(path))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            "The folder holds checkpoints of another model or another "
            f"training. Received: {path}"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror
    return error.message.split(";")[-1].strip()
