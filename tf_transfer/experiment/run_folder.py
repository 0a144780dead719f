"""The folder of a run: finished results are never computed again."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from tf_transfer import config as config_lib
from tf_transfer.errors import InputError
from tf_transfer.experiment import results
from tf_transfer.experiment.results import Predictions, Result
from tf_transfer.utils.files import PARTIAL, plain, read_json, replacing


class RunFolder:
    """Opens a new folder, or continues a run of the same configuration.

    Args:
        path: the folder; created if it is absent.
        experiment: the configuration.
        data: fingerprints of the data, by name.
        writes: False for all workers of a cluster but the chief: they read
            the same folder and write nothing.

    Raises:
        InputError: if the folder holds something else, or cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        experiment: config_lib.Experiment,
        data: dict[str, str] | None = None,
        writes: bool = True,
    ):
        self.path = pathlib.Path(path)
        self.writes = writes
        content = plain(dataclasses.asdict(experiment))
        content["fingerprints"] = data or {}
        earlier = self.read("config.json", dict)
        # The chief may be creating the folder while other workers look.
        if earlier is None and writes and self._is_occupied():
            raise InputError(
                "The folder is not empty and holds no run; choose another "
                f"with --out. Received: {self.path}"
            )
        completed = earlier and plain(config_lib.completed(earlier))
        if completed not in (None, content):
            first = config_lib.differences(completed, content)[0]
            if first.startswith("fingerprints."):
                part = first.removeprefix("fingerprints.").split(":")[0]
                first = f"its {part} was another"
            raise InputError(
                "The folder holds a run of another configuration "
                f"({first}); choose another with --out. Received: {self.path}"
            )
        self.is_new = writes and not self.path.exists()
        try:
            if writes:
                self.path.mkdir(parents=True, exist_ok=True)
            if earlier is None:
                self.write("config.json", content)
            # Last, so that a start that was killed leaves no folder that the
            # next start would refuse.
            if writes:
                (self.path / "checkpoints").mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder cannot be written ({error.strerror}). "
                f"Received: {self.path}"
            ) from error
        self.results: list[Result] = []
        self.refresh()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Removes a new folder without checkpoints after bad input."""
        bad_input = kind is not None and issubclass(kind, InputError)
        if not (bad_input and self.is_new) or self.results:
            return
        if not any(p.is_file() for p in self.path.glob("checkpoints/**/*")):
            shutil.rmtree(self.path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other commands out of the folder while the block runs.

        Raises:
            InputError: if another command is using it.
        """
        import fcntl

        if not self.writes:
            yield
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self.is_new = False
                raise InputError(
                    "Another command is at work in this folder. "
                    f"Received: {self.path}"
                ) from error
            except OSError:
                pass  # some network file systems lock no folders
            yield
        finally:
            os.close(descriptor)

    def _is_occupied(self) -> bool:
        """Returns whether the folder holds more than a killed start leaves."""
        if not self.path.is_dir():
            return False
        return not all(p.name.startswith(PARTIAL) for p in self.path.iterdir())

    def read(self, name: str, kind: type) -> Any:
        """Returns the content of a JSON file, or None if it is absent."""
        return read_json(self.path / name, kind)

    def write(self, name: str, content: Any) -> pathlib.Path:
        """Writes a JSON file, completely or not at all."""
        path = self.path / name
        if not self.writes:
            return path
        text = json.dumps(content, indent=1)
        if isinstance(content, list):  # one entry a line
            text = "[\n" + ",\n".join(map(json.dumps, content)) + "\n]"
        with replacing(path) as partial:
            partial.write_text(text + "\n")
        return path

    def result(self, method: str, seed: int) -> Result | None:
        """Returns a finished result, or None."""
        for result in self.results:
            if (result.method, result.seed) == (method, seed):
                return result
        return None

    def add(self, result: Result) -> None:
        """Appends a result and writes `results.json`."""
        import fcntl

        if not self.writes:
            self.results.append(result)
            return
        # Other processes may add results of other seeds. Network file systems
        # lock only files that are open for writing.
        with open(self.path / "config.json", "r+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refresh()
            self.results.append(result)
            self.results.sort(key=lambda each: each.seed)
            self.write(results.NAME, [each.to_json() for each in self.results])

    def refresh(self) -> None:
        """Reads the results of all processes."""
        self.results = results.read(self.path)

    def model_path(self, name: str, seed: int) -> pathlib.Path:
        """Returns the file of a trained model."""
        return model_path(self.path, name, seed)

    def stages(self, name: str, seed: int) -> pathlib.Path:
        """Returns the folder for the checkpoints of unfinished stages."""
        return self.path / "checkpoints" / "stages" / f"{name}-{seed}"

    def forget_stages(self, seed: int, name: str = "*") -> None:
        """Removes the checkpoints of finished stages.

        Args:
            seed: whose stages.
            name: of the finished method; by default, of the whole seed.
        """
        stages = self.stages("", seed).parent
        if not (self.writes and stages.exists()):
            return
        for folder in stages.glob(f"{name}-{seed}"):
            shutil.rmtree(folder, ignore_errors=True)
        if name == "*":
            with contextlib.suppress(OSError):  # if other seeds use it
                stages.rmdir()

    def save_model(self, model, name: str, seed: int) -> None:
        """Saves a Keras model, completely or not at all."""
        if not self.writes:
            return
        with replacing(self.model_path(name, seed)) as partial:
            model.save(partial)

    def save_predictions(
        self, predictions: Predictions, name: str, seed: int
    ) -> None:
        """Saves the predictions of a method for the test images."""
        if not self.writes:
            return
        path = predictions_path(self.path, name, seed)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial:
            predictions.write(partial)


def model_path(run: pathlib.Path, name: str, seed: int) -> pathlib.Path:
    """Returns the file of a trained model."""
    return run / "checkpoints" / f"{name}-{seed}.keras"


def predictions_path(run: pathlib.Path, method: str, seed: int) -> pathlib.Path:
    """Returns the file of a method's predictions for the test images."""
    return run / "predictions" / f"{method}-{seed}.npz"
