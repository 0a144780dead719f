"""The folder of a run: what is finished is never run or written again."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from tf_transfer import config as config_lib
from tf_transfer.errors import InputError
from tf_transfer.utils.files import PARTIAL, plain, read_json, replacing


class RunFolder:
    """Opens a new folder, or continues a run of the same configuration.

    Args:
        path: the folder; made if it is absent.
        experiment: the configuration.
        data: fingerprints of the data, by name.
        writes: False for all workers of a cluster but the chief, which read
            the same folder and keep their results to themselves.

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
        wanted = plain(dataclasses.asdict(experiment))
        wanted["fingerprints"] = data or {}
        found = self.read("config.json", dict)
        # For the others the chief may be making it at this moment.
        if found is None and writes and self._holds_something():
            raise InputError(
                "The folder is not empty and holds no run; choose another "
                f"with --out. Received: {self.path}"
            )
        same = found and plain(config_lib.completed(found))
        if same not in (None, wanted):
            first = config_lib.differences(same, wanted)[0]
            if first.startswith("fingerprints."):
                part = first.removeprefix("fingerprints.").split(":")[0]
                first = f"its {part} was another"
            raise InputError(
                "The folder holds a run of another configuration "
                f"({first}); choose another with --out. Received: {self.path}"
            )
        self.made = writes and not self.path.exists()
        try:
            if writes:
                self.path.mkdir(parents=True, exist_ok=True)
            if found is None:
                self.write("config.json", wanted)
            if writes:  # not before: a killed start shall leave no riddle
                (self.path / "checkpoints").mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder cannot be written ({error.strerror}). "
                f"Received: {self.path}"
            ) from error
        self.results: list[dict[str, Any]] = []
        self.refresh()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Removes a new folder if bad input left nothing to go on from."""
        bad_input = kind is not None and issubclass(kind, InputError)
        if not (bad_input and self.made) or self.results:
            return
        if not any(p.is_file() for p in self.path.glob("checkpoints/**/*")):
            shutil.rmtree(self.path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other commands out of the folder while the block runs.

        Raises:
            InputError: where another is at work in it.
        """
        import fcntl

        if not self.writes:
            yield
            return
        place = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self.made = False
                raise InputError(
                    "Another command is at work in this folder. "
                    f"Received: {self.path}"
                ) from error
            except OSError:
                pass  # some network file systems lock no folders
            yield
        finally:
            os.close(place)

    def _holds_something(self) -> bool:
        """Whether there is more than what a killed start leaves."""
        if not self.path.is_dir():
            return False
        return not all(p.name.startswith(PARTIAL) for p in self.path.iterdir())

    def read(self, name: str, kind: type) -> Any:
        """Returns the content of a JSON file, or None if it is absent."""
        return read_json(self.path / name, kind)

    def write(self, name: str, content: Any) -> pathlib.Path:
        """Writes a JSON file whole or not at all."""
        path = self.path / name
        if not self.writes:
            return path
        text = json.dumps(content, indent=1)
        if isinstance(content, list):  # a line for each
            text = "[\n" + ",\n".join(map(json.dumps, content)) + "\n]"
        with replacing(path) as partial:
            partial.write_text(text + "\n")
        return path

    def result(self, method: str, seed: int) -> dict[str, Any] | None:
        """Returns a finished result, or None."""
        for result in self.results:
            if (result["method"], result["seed"]) == (method, seed):
                return result
        return None

    def add(self, result: dict[str, Any]) -> None:
        """Appends a result and writes `results.json`."""
        import fcntl

        if not self.writes:
            self.results.append(result)
            return
        # Other processes may add those of other seeds. Network file systems
        # lock only what is open for writing.
        with open(self.path / "config.json", "r+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refresh()
            self.results.append(result)
            self.results.sort(key=lambda each: each["seed"])
            self.write("results.json", self.results)

    def refresh(self) -> None:
        """Reads the results of all processes."""
        self.results = self.read("results.json", list) or []

    def model_path(self, name: str, seed: int) -> pathlib.Path:
        return self.path / "checkpoints" / f"{name}-{seed}.keras"

    def stages(self, name: str, seed: int) -> pathlib.Path:
        """Where the stages of what is not finished keep their checkpoints."""
        return self.path / "checkpoints" / "stages" / f"{name}-{seed}"

    def forget_stages(self, seed: int, name: str = "*") -> None:
        """Removes those checkpoints of a seed, when it is finished.

        Args:
            seed: of the trial.
            name: of what is finished; by default the whole seed.
        """
        stages = self.stages("", seed).parent
        if not (self.writes and stages.exists()):
            return
        for folder in stages.glob(f"{name}-{seed}"):
            shutil.rmtree(folder, ignore_errors=True)
        if name == "*":
            with contextlib.suppress(OSError):  # it holds those of other seeds
                stages.rmdir()

    def save_model(self, model, name: str, seed: int) -> None:
        """Saves a Keras model whole or not at all."""
        if not self.writes:
            return
        with replacing(self.model_path(name, seed)) as partial:
            model.save(partial)

    def save_predictions(
        self, said: dict[str, np.ndarray], name: str, seed: int
    ) -> None:
        """Saves what a method said of the test images; see `metrics`."""
        if not self.writes:
            return
        path = predictions_path(self.path, name, seed)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial:
            np.savez_compressed(partial, **said)


def predictions_path(run: pathlib.Path, method: str, seed: int) -> pathlib.Path:
    """Returns where a run keeps the predictions of the one test read."""
    return run / "predictions" / f"{method}-{seed}.npz"


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """What a finished run has written.

    Attributes:
        path: its folder.
        config: the settings, and the `fingerprints` of the data.
        results: one of each method and seed.
        data: of source and target; see `release.write_data`.
    """

    path: pathlib.Path
    config: dict[str, Any]
    results: list[dict[str, Any]]
    data: dict[str, Any]

    @classmethod
    def read(cls, path: str | os.PathLike) -> "FinishedRun":
        """Reads a folder.

        Raises:
            InputError: if it holds no finished run.
        """
        path = pathlib.Path(path)
        config = read_json(path / "config.json", dict)
        results = read_json(path / "results.json", list)
        data = read_json(path / "data.json", dict)
        if config is None:
            raise InputError(
                f"There is no run of `compare` in the folder. Received: {path}"
            )
        try:
            found = {(r["method"], r["seed"]) for r in results or []}
            seeds = range(config["seeds"])
            wanted = {(m, s) for m in config["methods"] for s in seeds}
        except (KeyError, TypeError) as error:
            raise misfit(path, error) from error
        if data is None or not wanted <= found:
            raise InputError(
                "The run is not finished; give its `compare` command again. "
                f"Received: {path}"
            )
        return cls(path, config, results, data)


def misfit(run: pathlib.Path, error: Exception) -> InputError:
    """Returns what to raise where the files of a run cannot be used."""
    return InputError(
        f"The run's files do not fit together ({error!r}). Received: {run}"
    )
