"""Event files for TensorBoard, written while a run trains.

TensorFlow does not install TensorBoard. If it is missing, nothing is written.
"""

import contextlib
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import message

from tf_transfer.utils.storage.folders import Folder
from tf_transfer.utils.tf_data import quiet

_EVENTS = "events.out.tfevents."
_HYPERPARAMETERS = (
    "data.source",
    "data.target",
    "data.labels_per_class",
    "encoder.name",
    "pretraining.steps",
    "finetuning.steps",
)


def installed() -> bool:
    """Returns whether TensorBoard is installed."""
    return importlib.util.find_spec("tensorboard") is not None


class TensorBoardWriter:
    """Writes the folder `tensorboard/` of a run, each step once.

    Every stage of training has its own folder in `stages/`. Every result has
    its own folder in `results/`, with hyperparameters and accuracies. They are
    separate, so that TensorBoard's page of hyperparameters lists results only.
    A resumed run adds to the same folders.

    Args:
        folder: of the run. If it is None, or TensorBoard is not
            installed, nothing is written.
    """

    def __init__(self, folder: Folder | None):
        self.folder = folder if installed() else None

    def stage(
        self,
        path: pathlib.Path | None,
        name: str,
        weights: Callable[[], np.ndarray] | None = None,
    ) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that write the logs of a stage: one, or none.

        Args:
            path: folder of the stage's checkpoints, GROUP/NUMBER; None for a
                stage without checkpoints, whose logs are not written.
            name: name of the stage.
            weights: returns the present importance weights, `[C]`; None if
                they do not change.
        """
        if self.folder is None or path is None:
            return []
        name = f"stages/{path.parent.name}/{path.name}-{name}"
        return [StageCallback(self._path(name), weights)]

    def result(self, result: dict[str, Any], settings: dict[str, Any]) -> None:
        """Writes the metrics of a result with its hyperparameters.

        Args:
            result: an entry of `results.json`.
            settings: the experiment as nested dicts (`dataclasses.asdict`).
        """
        if self.folder is None:
            return
        from tensorboard.plugins.hparams import api

        hyperparameters = {
            name: result[name] for name in ("method", "seed", "learning_rate")
        }
        for name in _HYPERPARAMETERS:
            group, field = name.split(".")
            hyperparameters[name] = settings[group][field]
        name = f"{result['method']}-{result['seed']}"
        log = EventLog(self._path(f"results/{name}"))
        scalars = {
            f"{part}/{metric}": value
            for part in ("validation", "test")
            for metric, value in result[part].items()
        }
        if log.lacks("_hparams_/session_start_info", 0):
            with log.at(0):
                api.hparams(hyperparameters, trial_id=name)
        log.scalars(0, scalars)

    def _path(self, name: str) -> pathlib.Path:
        """Returns a folder of event files; raises InputError for a link."""
        return self.folder.below(f"tensorboard/{name}")


class StageCallback(keras.callbacks.Callback):
    """Writes the logs of a stage at the end of every epoch.

    Logs and learning rate become scalars, and the importance weights a
    histogram. The step is the number of steps that the optimizer has taken.
    Put it before a `Resume`, so that no checkpoint is ahead of the event
    files.

    Args:
        folder: folder of this stage alone.
        weights: returns the present importance weights, `[C]`; None if they
            do not change.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        weights: Callable[[], np.ndarray] | None = None,
    ):
        super().__init__()
        self.weights = weights
        self._log = EventLog(folder)

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        step = int(optimizer.iterations.numpy())
        rate = {"learning_rate": float(optimizer.learning_rate.numpy())}
        scalars = {k: v for k, v in (logs or {}).items() if np.ndim(v) == 0}
        self._log.scalars(step, scalars | rate)
        if self.weights is not None:
            self._log.histogram(step, "importance_weights", self.weights())


class EventLog:
    """A folder of event files, in which no step of a tag is written twice.

    Args:
        folder: the folder, created with the first event.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self._written = _written_steps(folder)
        self._writer = None

    def lacks(self, tag: str, step: int) -> bool:
        """Returns whether this step of a tag is not written yet."""
        return (tag, step) not in self._written

    @contextlib.contextmanager
    def at(self, step: int):
        """Makes `tf.summary` write to this folder; flushes at the end."""
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.folder))
        with self._writer.as_default(step=step):
            yield
        self._writer.flush()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes the scalars that are not written yet."""
        self._write(step, values, tf.summary.scalar)

    def histogram(self, step: int, tag: str, values: np.ndarray) -> None:
        """Writes a histogram, if it is not written yet."""
        self._write(step, {tag: values}, tf.summary.histogram)

    def _write(self, step: int, values: dict[str, Any], write) -> None:
        new = {tag: v for tag, v in values.items() if self.lacks(tag, step)}
        if not new:
            return
        with self.at(step):
            for tag, value in new.items():
                write(tag, value)
        self._written |= {(tag, step) for tag in new}


def _written_steps(folder: pathlib.Path) -> set[tuple[str, int]]:
    """Returns the pairs of tag and step in the event files of a folder."""
    pairs = set()
    with contextlib.suppress(FileNotFoundError):
        folder = Folder(folder)
        names = [n for n in folder.names() if n.startswith(_EVENTS)]
        for name in filter(folder.has, names):
            pairs |= _steps_in(folder.path / name)
    return pairs


def _steps_in(path: pathlib.Path) -> set[tuple[str, int]]:
    """Returns the pairs of tag and step in an event file."""
    pairs = set()
    # A process that was killed may have left an incomplete last event.
    with contextlib.suppress(tf.errors.DataLossError, message.DecodeError):
        for text in quiet(tf.data.TFRecordDataset(str(path))):
            event = tf.compat.v1.Event.FromString(text.numpy())
            pairs |= {(v.tag, event.step) for v in event.summary.value}
    return pairs
