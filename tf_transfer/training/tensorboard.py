"""What TensorBoard shows of a run, written while it trains.

TensorBoard is not among the packages that TensorFlow brings; without it
nothing is written.
"""

import contextlib
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.utils.tf_data import quiet

_SETTINGS = (
    "data.source",
    "data.target",
    "data.labels_per_class",
    "encoder.name",
    "pretraining.steps",
    "finetuning.steps",
)


def installed() -> bool:
    """Returns whether TensorBoard is."""
    return importlib.util.find_spec("tensorboard") is not None


class Records:
    """Writes into `tensorboard/` of a run's folder, each step once.

    Every stage of training has a folder of its own there, in `stages/`, and
    every result one with hyperparameters and accuracies, in `results/`: apart,
    so that TensorBoard compares results by these alone. A continued run goes
    on in them.

    Args:
        folder: of the run; None writes nothing, as where TensorBoard is not
            installed.
    """

    def __init__(self, folder: pathlib.Path | None):
        writes = folder is not None and installed()
        self.folder = folder / "tensorboard" if writes else None

    def stage(
        self,
        path: pathlib.Path | None,
        name: str,
        weights: Callable[[], np.ndarray] | None = None,
    ) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that record a stage: one, or none.

        Args:
            path: of the stage's checkpoints, OF_WHAT/NUMBER; None for a stage
                that is not kept.
            name: of the stage.
            weights: gives its importance weights, `[C]`, if they change.
        """
        if self.folder is None or path is None:
            return []
        place = self.folder / "stages" / path.parent.name
        return [StageRecord(place / f"{path.name}-{name}", weights)]

    def result(self, result: dict[str, Any], settings: dict[str, Any]) -> None:
        """Writes the accuracies of a result beside its hyperparameters.

        Args:
            result: as in `results.json`.
            settings: of the experiment, by `dataclasses.asdict`.
        """
        if self.folder is None:
            return
        from tensorboard.plugins.hparams import api

        chosen = {n: result[n] for n in ("method", "seed", "learning_rate")}
        for name in _SETTINGS:
            group, field = name.split(".")
            chosen[name] = settings[group][field]
        name = f"{result['method']}-{result['seed']}"
        log = EventLog(self.folder / "results" / name)
        scalars = {
            f"{part}/{metric}": value
            for part in ("validation", "test")
            for metric, value in result[part].items()
        }
        if log.lacks("_hparams_/session_start_info", 0):
            with log.at(0):
                api.hparams(chosen, trial_id=name)
        log.scalars(0, scalars)


class StageRecord(keras.callbacks.Callback):
    """Writes what every epoch of a training ends with.

    The logs and the learning rate as scalars, and the importance weights as a
    histogram, by the steps that the optimizer has taken. Put it before a
    `Resume`, so that a checkpoint never knows more than was written.

    Args:
        folder: of this stage alone.
        weights: gives the weights, `[C]`; None if they do not change.
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
    """A folder of event files in which no step of a tag is written twice.

    Args:
        folder: made with the first event.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self._written = _written(folder)
        self._writer = None

    def lacks(self, tag: str, step: int) -> bool:
        """Returns whether a step of a tag is still to be written."""
        return (tag, step) not in self._written

    @contextlib.contextmanager
    def at(self, step: int):
        """Makes `tf.summary` write here; all is on the disk at the end."""
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.folder))
        with self._writer.as_default(step=step):
            yield
        self._writer.flush()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes the scalars that the step lacks."""
        self._write(step, values, tf.summary.scalar)

    def histogram(self, step: int, tag: str, values: np.ndarray) -> None:
        """Writes a histogram, if the step lacks it."""
        self._write(step, {tag: values}, tf.summary.histogram)

    def _write(self, step: int, values: dict[str, Any], write) -> None:
        new = {tag: v for tag, v in values.items() if self.lacks(tag, step)}
        if not new:
            return
        with self.at(step):
            for tag, value in new.items():
                write(tag, value)
        self._written |= {(tag, step) for tag in new}


def _written(folder: pathlib.Path) -> set[tuple[str, int]]:
    """Returns the tags and steps that the event files of a folder hold."""
    found = set()
    for path in folder.glob("events.out.tfevents.*"):
        # A kill may have cut the last event off.
        with contextlib.suppress(tf.errors.DataLossError):
            for text in quiet(tf.data.TFRecordDataset(str(path))):
                event = tf.compat.v1.Event.FromString(text.numpy())
                found |= {(v.tag, event.step) for v in event.summary.value}
    return found
