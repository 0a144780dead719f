"""Checkpoints of a training, and how to resume it exactly."""

import json
import pathlib
import re
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError, Stopped
from tf_transfer.training import distribution

_INDEX_NAME = re.compile(r"step-(\d+)\.index")
_RECORDED_ATTRIBUTES = ("step", "logs", "seconds", "inside")


class Resume(keras.callbacks.Callback):
    """Saves checkpoints of a training, and resumes it where it stopped.

    A checkpoint holds everything that training changes: the model (with the
    policy of an `L2TL`), its optimizers and random states, the metrics and
    logs so far, and the objects in `also`. If the data depend only on the
    step, the final weights on a CPU are bitwise equal to those of a training
    without interruption:

        resume = Resume(model, "checkpoints", also=[weights])
        for start, span in resume.spans(epochs=10, steps_per_epoch=100):
            model.fit(data(start), callbacks=[..., resume], **span)

    A checkpoint is complete or absent. If one is damaged, a warning says so
    and the one before it is used. On SIGTERM, the callback saves at the end
    of the step (of several steps, with `steps_per_execution`) and raises
    `Stopped`. A loss that is not finite ends the training before it is saved.
    With several workers, all of them need the folder. Only the chief writes
    to it, and SIGTERM does not save.

    Args:
        model: a model that is built and compiled.
        folder: folder for the checkpoints of this training alone; None saves
            no checkpoints.
        every: number of steps between checkpoints.
        keep: number of newest checkpoints to keep.
        also: `ImportanceWeights`, or other objects with `variables`.

    Attributes:
        step: number of steps taken, including those before an interruption.
        logs: logs of every finished epoch, including those before an
            interruption; numbers, or lists of numbers.
        seconds: training time before this object resumed the training.
        inside: whether an epoch has begun and not ended.

    Put it last in the list of callbacks. The state of other callbacks (such as
    the patience of `EarlyStopping`) is not saved; they start afresh.

    Raises:
        InputError: if the folder cannot be written, or holds checkpoints of
            another model.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> batch = np.ones((4, 2)), np.ones((4, 1))
    >>> data = tf.data.Dataset.from_tensors(batch).repeat()
    >>> resume = Resume(model, folder=None)
    >>> for _, span in resume.spans(epochs=2, steps_per_epoch=3):
    ...     _ = model.fit(
    ...         data, callbacks=[resume], verbose=0, shuffle=False, **span)
    >>> resume.step
    6
    """

    def __init__(
        self,
        model: keras.Model,
        folder: str | pathlib.Path | None,
        *,
        every: int = 100,
        keep: int = 2,
        also: Sequence[tf.Module] = (),
    ):
        super().__init__()
        if every < 1 or keep < 1:
            raise InputError(
                "`every` and `keep` must be at least 1. "
                f"Received: {every=}, {keep=}"
            )
        if not (getattr(model, "compiled", False) and model.built):
            raise InputError(
                "`Resume` needs a Keras 3 model that is built and compiled. "
                f"Received: {model.name!r}"
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self.folder = pathlib.Path(folder) if folder else None
        self.every = every
        self.keep = keep
        self.also = list(also)
        self.step = 0
        self.logs: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.inside = False
        self.set_model(model)
        with tf.device("CPU"):
            self._record = tf.Variable("", dtype=tf.string, trainable=False)
        self._manager = None
        self._discarded_folder = None
        self._stop_requested = False
        self._previous_handler = None
        self._restored_path = self._newest_complete()
        if self._restored_path:
            self._restore()
        self._saved_step = self.step
        self._started = time.monotonic()

    def spans(
        self, epochs: int, steps_per_epoch: int, fresh: bool = False
    ) -> Iterator[tuple[int, dict[str, int]]]:
        """Yields the spans still to train: first step, arguments of `fit`.

        An interrupted epoch is finished first, in a span of its own.

        Args:
            epochs: number of epochs of the whole training.
            steps_per_epoch: number of steps of each epoch.
            fresh: yield every epoch as a span of its own, for data that
                depend on what a callback does at the end of an epoch.

        Raises:
            InputError: if the rest of an epoch is not a multiple of the
                model's `steps_per_execution`.
        """
        try:
            while self.step < epochs * steps_per_epoch:
                epoch, done = divmod(self.step, steps_per_epoch)
                remaining = steps_per_epoch - done
                at_once = self.model.steps_per_execution
                if remaining % at_once:
                    raise InputError(
                        "The steps left of an epoch must be a multiple of "
                        f"`steps_per_execution`, {at_once}. "
                        f"Received: {remaining}"
                    )
                one_epoch = fresh or done
                yield (
                    self.step,
                    {
                        "initial_epoch": epoch,
                        "epochs": epoch + 1 if one_epoch else epochs,
                        "steps_per_epoch": remaining,
                    },
                )
                if self.model.stop_training:
                    return
        finally:  # also if an error or Ctrl-C has ended `fit`
            self._restore_handler()

    def on_train_begin(self, logs=None):
        self._stop_requested = False
        if threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(
                signal.SIGTERM, self._request_stop
            )

    def on_epoch_begin(self, epoch, logs=None):
        if self._restored_path and self._saved_step == self.step:
            # Restore once more: `fit` has reset the metrics, and callbacks
            # such as `DATL` may have repeated their estimate.
            self._restore()
            if not self.inside:
                self.model.reset_metrics()
        self._restored_path = None
        self.inside = True
        self._steps_before = self.step

    def on_train_batch_end(self, batch, logs=None):
        self.step = self._steps_before + batch + 1
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            self._raise_diverged(f"loss={float(loss)}", batch)
        # At the end of an epoch, the other callbacks come first.
        if batch + 1 < self.params["steps"]:
            self._stop_or_save()

    def on_epoch_end(self, epoch, logs=None):
        if logs:
            self.logs.append(
                {k: np.asarray(v, float).tolist() for k, v in logs.items()}
            )
        self.inside = False
        self._stop_or_save()

    def on_train_end(self, logs=None):
        self._restore_handler()
        if self._saved_step < self.step:
            self.save()
        if self._discarded_folder:
            shutil.rmtree(self._discarded_folder)
            self._discarded_folder = self._manager = None
        if self._stop_requested:  # since the check after the last step
            raise Stopped

    def history(self) -> dict[str, list]:
        """Returns the values of every log, of the epochs that have it."""
        names = dict.fromkeys(name for logs in self.logs for name in logs)
        return {
            name: [logs[name] for logs in self.logs if name in logs]
            for name in names
        }

    def save(self) -> None:
        """Writes a checkpoint of the present step."""
        for variable in self._variables():
            value = variable.value
            if value.dtype.is_floating and not np.isfinite(value).all():
                self._raise_diverged(f"{variable.path} not finite")
        self._saved_step = self.step
        if self.folder is None:
            return
        record = {name: getattr(self, name) for name in _RECORDED_ATTRIBUTES}
        record["seconds"] += time.monotonic() - self._started
        self._record.assign(json.dumps(record))
        try:
            if self._manager is None:
                self._manager = self._make_manager()
            self._manager.save(checkpoint_number=self.step)
        except (OSError, tf.errors.OpError) as error:
            if isinstance(error, tf.errors.OpError) and self._num_workers() > 1:
                raise  # another worker was lost, most likely
            self._restore_handler()
            raise InputError(
                f"The checkpoint cannot be written ({_reason(error)}). "
                f"Received: {self.folder}"
            ) from error

    def _variables(self) -> list[keras.Variable]:
        model = self.model
        variables = [*model.variables, *model.optimizer.variables]
        policy_optimizer = getattr(model, "policy_optimizer", None)
        if policy_optimizer is not None:
            variables += policy_optimizer.variables
        return variables

    def _checkpoint(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(
            training=[variable.value for variable in self._variables()],
            also=[v for each in self.also for v in each.variables],
            # By path: compiled metrics have no variables before the first step.
            metrics={v.path: v.value for v in self.model.metrics_variables},
            record=self._record,
        )

    def _make_manager(self) -> tf.train.CheckpointManager:
        if distribution.is_chief(self.model.distribute_strategy):
            folder = self.folder
            # If the process is killed while it saves, such a folder remains.
            for path in folder.glob("step-*_temp"):
                shutil.rmtree(path, ignore_errors=True)
        else:
            # All workers must save, but only the chief's files are kept.
            folder = self._discarded_folder = tempfile.mkdtemp()
        return tf.train.CheckpointManager(
            self._checkpoint(), str(folder), self.keep, checkpoint_name="step"
        )

    def _newest_complete(self) -> pathlib.Path | None:
        """Returns the newest checkpoint whose tensors can all be read."""
        names = [path.name for path in _files(self.folder)]
        matches = filter(None, map(_INDEX_NAME.fullmatch, names))
        for step in sorted((int(m[1]) for m in matches), reverse=True):
            path = self.folder / f"step-{step}"
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

    def _restore(self) -> None:
        path = str(self._restored_path)
        try:
            status = self._checkpoint().restore(path)
            status.assert_existing_objects_matched().expect_partial()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise InputError(
                "The folder holds checkpoints of another model or another "
                f"training. Received: {path}"
            ) from error
        record = json.loads(self._record.numpy())
        for name in _RECORDED_ATTRIBUTES:
            setattr(self, name, record[name])

    def _num_workers(self) -> int:
        return distribution.num_workers(self.model.distribute_strategy)

    def _stop_or_save(self) -> None:
        if self._stop_requested:
            if self._num_workers() == 1:
                self.save()
            self._restore_handler()
            raise Stopped
        if self.step - self._saved_step >= self.every:
            self.save()

    def _request_stop(self, number, frame) -> None:
        """Handles SIGTERM; a second one stops at once."""
        if self._stop_requested:
            raise Stopped
        self._stop_requested = True

    def _restore_handler(self) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGTERM, self._previous_handler)
        self._previous_handler = None

    def _raise_diverged(self, received: str, batch: int | None = None) -> None:
        self._restore_handler()
        checkpoint = "no checkpoint was kept"
        if self._saved_step and self.folder:
            checkpoint = f"the checkpoint of step {self._saved_step} is kept"
        at = "" if batch is None else f" (batch {batch + 1} of its epoch)"
        raise InputError(
            f"Training diverged at step {self.step}{at}; lower the learning "
            f"rate; {checkpoint}. Received: {received}"
        )


def _files(folder: pathlib.Path | None) -> list[pathlib.Path]:
    return list(folder.iterdir()) if folder and folder.is_dir() else []


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror
    return error.message.split(";")[-1].strip()
