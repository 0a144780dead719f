"""The folder of a run: finished results are never computed again."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import re
import shutil
import warnings
from collections.abc import Iterator
from typing import Any

from tf_transfer import config as config_lib
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import results, stored_config
from tf_transfer.experiment.records.results import Predictions, Result
from tf_transfer.models import classifiers
from tf_transfer.utils.storage.files import check_no_pattern
from tf_transfer.utils.storage.folders import PARTIAL, Folder

CONFIG = "config.json"
MOST_CONFIG = 2**20  # bytes
_STAGES = "checkpoints/stages"


class RunFolder:
    """Opens a new folder, or continues a run of the same configuration.

    It may come from somebody else: no link in it is followed.

    Args:
        path: the folder; created if it is absent.
        experiment: the configuration.
        data: fingerprints of the data, by name.
        writes: False for all workers of a cluster but the chief: they read
            the same folder and write nothing.
        alone: keep other commands out until the `with` block ends. False for
            the processes of a command that does so.

    Raises:
        InputError: if the folder holds something else, cannot be written, or
            another command is at work in it.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        experiment: config_lib.Experiment,
        data: dict[str, str] | None = None,
        writes: bool = True,
        alone: bool = False,
    ):
        check_no_pattern(path)
        self.path = pathlib.Path(path)
        self.writes = writes
        self.files: Folder | None = None
        self._has_lock = False
        self.is_new = writes and not self.path.exists()
        self.results: list[Result] = []
        try:
            self._open(alone)
            self._start(experiment, data or {})
            if alone and writes:
                self._remove_leftovers()
        except InputError:
            self._remove_if_empty()
            raise
        except OSError as error:
            raise InputError(
                f"The folder cannot be written ({error.strerror}). "
                f"Received: {self.path}"
            ) from error
        self.refresh()

    def _open(self, alone: bool) -> None:
        """Opens the folder, and locks it before anything is read."""
        if not self.writes:
            with contextlib.suppress(OSError):  # the chief has yet to make it
                self.files = Folder(self.path)
            return
        while self.files is None or not self.files.is_current():
            self.path.mkdir(parents=True, exist_ok=True)
            self.files = Folder(self.path)
            self._has_lock = alone and self.files.lock()
            if alone and not self._has_lock:
                self.is_new = False
                raise InputError(
                    "Another command is at work in this folder. "
                    f"Received: {self.path}"
                )

    def _start(
        self, experiment: config_lib.Experiment, fingerprints: dict[str, str]
    ) -> None:
        """Compares the configuration with the folder's, or writes it."""
        content = _plain(dataclasses.asdict(experiment))
        content["fingerprints"] = fingerprints
        earlier = self.read(CONFIG, dict, MOST_CONFIG)
        # The chief may be creating the folder while other workers look.
        if earlier is None and self.writes and self._is_occupied():
            raise InputError(
                "The folder is not empty and holds no run; choose another "
                f"with --out. Received: {self.path}"
            )
        changes = earlier and stored_config.differences(
            stored_config.comparable(_plain(stored_config.completed(earlier))),
            stored_config.comparable(content),
        )
        if changes:
            first = changes[0]
            if first.startswith("fingerprints."):
                part = first.removeprefix("fingerprints.").split(":")[0]
                first = f"its {part} was another"
            raise InputError(
                "The folder holds a run of another configuration "
                f"({first}); choose another with --out. Received: {self.path}"
            )
        if earlier is None:
            self.write(CONFIG, content)
        # Last, so that a start that was killed leaves no folder that the next
        # start would refuse.
        if self.writes:
            self.files.make("checkpoints")

    def _is_occupied(self) -> bool:
        """Returns whether the folder holds more than a killed start leaves."""
        names = self.files.names()
        return not all(name.startswith(PARTIAL) for name in names)

    def _remove_leftovers(self) -> None:
        for name in ("", "checkpoints", "predictions", "export"):
            self.files.remove_leftovers(name)

    def _remove_if_empty(self) -> None:
        if self.is_new:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Removes a new folder without checkpoints after bad input."""
        bad_input = kind is not None and issubclass(kind, InputError)
        models = self.path.glob("checkpoints/**/*")
        if (
            bad_input
            and self.is_new
            and not self.results
            and not any(path.is_file() for path in models)
        ):
            shutil.rmtree(self.path)
        if self._has_lock:
            self.files.unlock()

    def read(self, name: str, kind: type, most: int) -> Any:
        """Returns the content of a JSON file, or None if it is absent."""
        if self.files is None:
            return None
        return self.files.read_json(name, kind, most)

    def write(self, name: str, content: Any) -> None:
        """Writes a JSON file, completely or not at all."""
        if not self.writes:
            return
        text = json.dumps(content, indent=1)
        if isinstance(content, list):  # one entry a line
            text = "[\n" + ",\n".join(map(json.dumps, content)) + "\n]"
        self.files.write(name, f"{text}\n".encode())

    def result(self, method: str, seed: int) -> Result | None:
        """Returns a finished result, or None."""
        for result in self.results:
            if (result.method, result.seed) == (method, seed):
                return result
        return None

    def add(self, result: Result) -> None:
        """Appends a result and writes `results.json`."""
        if not self.writes:
            self.results.append(result)
            return
        with self._adding():
            self.refresh()
            self.results.append(result)
            self.results.sort(key=lambda each: each.seed)
            self.write(results.NAME, [each.to_json() for each in self.results])

    @contextlib.contextmanager
    def _adding(self) -> Iterator[None]:
        """Keeps other processes from adding results at the same time."""
        # Network file systems lock only files that are open for writing.
        path = self.files.below(CONFIG)
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def refresh(self) -> None:
        """Reads the results of all processes."""
        if self.files is None and not self.writes:
            self._open(alone=False)
        self.results = results.read(self.files) if self.files else []

    def has(self, name: str) -> bool:
        """Returns whether there is a regular file of this name."""
        return self.files is not None and self.files.has(name)

    def model_path(self, name: str, seed: int) -> pathlib.Path:
        """Returns the file of a trained model, which may be absent."""
        return self.path_of(model_name(name, seed))

    def path_of(self, name: str) -> pathlib.Path:
        """Returns the path of what may be there or not.

        Raises:
            InputError: if it is a link, or there is one on the way.
        """
        return self.files.below(name) if self.files else self.path / name

    def stage_path(self, name: str, seed: int, number: int) -> pathlib.Path:
        """Returns the folder for the checkpoints of an unfinished stage."""
        return self.path_of(f"{_STAGES}/{name}-{seed}/{number}")

    def forget_stages(self, seed: int, name: str = "") -> None:
        """Removes the checkpoints of finished stages.

        Args:
            seed: whose stages.
            name: of the finished method; by default, of the whole seed.
        """
        if not self.writes:
            return
        pattern = re.compile(rf"{re.escape(name) or '.+'}-{seed}")
        for folder in filter(pattern.fullmatch, self.files.names(_STAGES)):
            self.files.remove(f"{_STAGES}/{folder}")
        if not name and not self.files.names(_STAGES):
            with contextlib.suppress(OSError):
                self.path_of(_STAGES).rmdir()

    def save_model(self, model, name: str, seed: int) -> None:
        """Saves a Keras model, completely or not at all."""
        if not self.writes:
            return
        with self.files.replacing(model_name(name, seed)) as partial:
            model.save(partial)

    def load_model(
        self,
        name: str,
        seed: int,
        image_shape: tuple[int, int, int],
        num_classes: int,
    ):
        """Returns a classifier of this folder, or None if it is absent.

        A damaged one counts as absent, with a warning.
        """
        path = self.model_path(name, seed)
        if not self.has(model_name(name, seed)):
            return None
        try:
            return classifiers.load_classifier(
                str(path), image_shape, num_classes
            )
        except InputError as error:
            warnings.warn(
                f"A model of the run is damaged, and is trained again. {error}",
                stacklevel=2,
            )
            return None

    def save_predictions(
        self, predictions: Predictions, name: str, seed: int
    ) -> None:
        """Saves the predictions of a method for the test images."""
        if not self.writes:
            return
        self.files.make("predictions")
        with self.files.replacing(predictions_name(name, seed)) as partial:
            predictions.write(partial)


def model_name(name: str, seed: int) -> str:
    """Returns the file of a trained model in the folder of a run."""
    return f"checkpoints/{name}-{seed}.keras"


def predictions_name(method: str, seed: int) -> str:
    """Returns the file of a method's predictions in the folder of a run."""
    return f"predictions/{method}-{seed}.npz"


def _plain(content: dict) -> dict:
    """Returns what JSON keeps of a dict: tuples become lists."""
    return json.loads(json.dumps(content))
