"""What a run has written, all of it checked."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.config import Experiment
from tf_transfer.errors import InputError
from tf_transfer.experiment import config_checks
from tf_transfer.experiment.methods import METHODS, base
from tf_transfer.experiment.records import data_info, results, weights_file
from tf_transfer.experiment.records.data_info import DataInfo
from tf_transfer.experiment.records.results import Predictions, Result
from tf_transfer.experiment.records.run_folder import (
    CONFIG,
    MOST_CONFIG,
    model_name,
    predictions_name,
)
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.utils.storage.folders import Folder
from tf_transfer.utils.storage.json_fields import Fields

_LEARNING_LOGS = ("loss", "class_weights", "scale", "reward")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The settings and results of a run, finished or not.

    Attributes:
        files: its folder.
        config: the settings.
        fingerprints: of the data, by name.
        results: those of the configured methods.
        data: names of the data and more; None if the run has no `data.json`.
    """

    files: Folder
    config: Experiment
    fingerprints: dict[str, str]
    results: list[Result]
    data: DataInfo | None

    @property
    def path(self) -> pathlib.Path:
        """The path of its folder."""
        return self.files.path

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Run":
        """Reads a run's folder.

        Raises:
            InputError: if it holds no run, or if a file is damaged.
        """
        path, content = pathlib.Path(path), None
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            files = Folder(path)
            content = files.read_json(CONFIG, dict, MOST_CONFIG)
        if content is None:
            raise InputError(
                f"There is no run of `compare` in the folder. Received: {path}"
            )
        config, fingerprints = _settings(content, path / CONFIG)
        data = files.read_json(data_info.NAME, dict, data_info.MOST)
        if data is not None:
            data = DataInfo.from_json(data, path / data_info.NAME)
        all_results = results.read(files)
        keys = [(result.method, result.seed) for result in all_results]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(
                "A method and seed must have one result. "
                f"Received: {twice} in {path / results.NAME}"
            )
        return cls(
            files=files,
            config=config,
            fingerprints=fingerprints,
            results=[r for r in all_results if r.method in config.methods],
            data=data,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedRun(Run):
    """All that a finished run has written.

    Attributes:
        weight_table: the weights of the source classes; None if no method
            uses the source.
    """

    weight_table: WeightTable | None

    @classmethod
    def read(cls, path: str | os.PathLike) -> "FinishedRun":
        """Reads a run's folder.

        Raises:
            InputError: if it holds no finished run, or if a file is damaged.
        """
        run = Run.read(path)
        keys = {(result.method, result.seed) for result in run.results}
        seeds = range(run.config.seeds)
        expected = {(m, s) for m in run.config.methods for s in seeds}
        if run.data is None or not expected <= keys:
            raise InputError(
                "The run is not finished; give its `compare` command again. "
                f"Received: {path}"
            )
        table = None
        if base.use_source(run.config.methods):
            table = WeightTable.read_csv(run.files)
            _check_weights(run, table)
        classes = len(table.class_names) if table else 0
        check_results(run.results, classes, run.path / results.NAME)
        return cls(**vars(run), weight_table=table)

    def predictions(
        self, result: Result, images: int | None = None
    ) -> Predictions:
        """Returns the predictions of one result's model.

        Args:
            result: which one.
            images: number of test images, if they are at hand.

        Raises:
            InputError: if the file cannot be read, or does not fit the run.
        """
        name = predictions_name(result.method, result.seed)
        classes = len(self.data.class_names)
        return Predictions.read(self.files, name, classes, images)

    def model_path(self, result: Result) -> pathlib.Path:
        """Returns the file of a result's trained model."""
        return self.files.below(model_name(result.method, result.seed))


def _settings(
    content: dict[str, Any], path: pathlib.Path
) -> tuple[Experiment, dict[str, str]]:
    """Returns the experiment and the fingerprints in a `config.json`."""
    fields = Fields(content, "config", path)
    fields.texts("methods")
    fields.integer("seeds", smallest=1)
    fields.object("data")
    prints = fields.object("fingerprints", {})
    prints = {name: prints.text(name) for name in prints.content}
    settings = {k: v for k, v in content.items() if k != "fingerprints"}
    experiment = config_checks.from_json(settings, path)
    unknown = [name for name in experiment.methods if name not in METHODS]
    if unknown:
        raise InputError(
            f"The run has an unknown method. Received: {unknown[0]!r} in {path}"
        )
    return experiment, prints


def _check_weights(run: Run, table: WeightTable) -> None:
    """Raises InputError unless table and results have the same weights."""
    learning = {m for m in run.config.methods if METHODS[m].learns_weights}
    if set(table.learned()) != learning:
        raise InputError(
            "The learned weights must be those of the methods "
            f"{sorted(learning)}. Received: {sorted(table.learned())} in "
            f"{run.path / weights_file.NAME}"
        )


def check_results(
    run_results: Sequence[Result], classes: int, path: pathlib.Path
) -> None:
    """Raises InputError unless results can be averaged and drawn.

    Args:
        run_results: those of a run's methods.
        classes: number of source classes.
        path: the file, for the error message.
    """
    shapes: dict[tuple[str, ...], tuple[int, ...]] = {}
    for result in run_results:
        if result.weights is not None and len(result.weights) != classes:
            raise InputError(
                f"`weights` must have one entry for each of {classes} source "
                f"classes. Received: {len(result.weights)} of {result.method} "
                f"in {path}"
            )
        for stage, logs in result.history.items():
            _check_logs(result.method, stage, logs, shapes, path)
    learned = [r for r in run_results if METHODS[r.method].learns_weights]
    for result in learned:
        logs = result.history.get("learning", {})
        expected = {*_LEARNING_LOGS, *learned[0].history.get("learning", {})}
        if set(logs) != expected:
            raise InputError(
                f"`history.learning` must hold {', '.join(sorted(expected))}. "
                f"Received: {', '.join(sorted(logs)) or 'nothing'} in {path}"
            )
        _check_learning(logs, classes, path)


def _check_logs(
    method: str,
    stage: str,
    logs: dict[str, list],
    shapes: dict[tuple[str, ...], tuple[int, ...]],
    path: pathlib.Path,
) -> None:
    """Checks the logs of a stage; adds their shapes to those of others."""
    for name, values in logs.items():
        shape = np.shape(values)
        first = shapes.setdefault((method, stage, name), shape)
        if first != shape:
            raise InputError(
                f"`history.{stage}.{name}` must have one length for all seeds "
                f"of a method. Received: {first} and {shape} for {method} in "
                f"{path}"
            )
        if name == "loss" and len(shape) != 1:
            raise InputError(
                f"`history.{stage}.loss` must be a list of numbers. "
                f"Received: shape {shape} in {path}"
            )


def _check_learning(
    logs: dict[str, list], classes: int, path: pathlib.Path
) -> None:
    """Raises InputError unless there is a value for every epoch.

    A log may have one more value, for the start.
    """
    epochs = len(logs["loss"])
    for name, values in logs.items():
        shape = np.shape(values)
        sizes = f"({epochs},) or ({epochs + 1},)"
        fits = shape in ((epochs,), (epochs + 1,))
        if name == "class_weights":
            sizes = f"({epochs + 1}, {classes})"
            fits = shape == (epochs + 1, classes)
        if not fits:
            raise InputError(
                f"`history.learning.{name}` must have the shape {sizes}. "
                f"Received: {shape} in {path}"
            )
