"""Checkpoints of a training, and how to resume it exactly."""

import json
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import DivergedError, InputError, Stopped
from tf_transfer.training import (
    callback_state,
    checkpoint_folder,
    epoch_end,
    epoch_metrics,
)
from tf_transfer.training.stop_signal import StopSignal

_RECORDED_ATTRIBUTES = ("step", "logs", "seconds", "inside", "stopped")


class Resume(keras.callbacks.Callback):
    """Saves checkpoints of a training, and resumes it where it stopped.

    A checkpoint holds everything that training changes: the model (with the
    policy of an `L2TL`), its optimizers and random states, the metrics and
    logs so far, and the objects in `also`. If the data depend only on the
    step, the final weights and logs on a CPU are bitwise equal to those of a
    training without interruption:

        resume = Resume(model, "checkpoints", also=[weights])
        for start, span in resume.spans(epochs=10, steps_per_epoch=100):
            model.fit(data(start), callbacks=[..., resume], **span)

    If a checkpoint is damaged, a warning says so and the one before it is
    used. On SIGTERM, the callback saves at the end of the step (of several
    steps, with `steps_per_execution`) and raises `Stopped`. A loss that is not
    finite ends the training before it is saved. With several workers, all of
    them need the folder. Only the chief writes to it, and SIGTERM does not
    save.

    Args:
        model: a model that is built and compiled.
        folder: folder for the checkpoints of this training alone; None saves
            no checkpoints.
        every: number of steps between checkpoints.
        keep: number of newest checkpoints to keep.
        also: `ImportanceWeights`, or other objects with `variables`; and the
            callbacks that have a state, such as `EarlyStopping`,
            `ReduceLROnPlateau` or `ModelCheckpoint`.

    Attributes:
        step: number of steps taken, including those before an interruption.
        logs: logs of every finished epoch, including those before an
            interruption; numbers, or lists of numbers.
        seconds: training time before this object resumed the training.
        inside: whether an epoch has begun and not ended.
        stopped: whether a callback has ended the training; `spans` is empty.

    Put it last in the list of callbacks. All spans are one training: what
    `fit` and callbacks do to the weights at its end (the averages of
    `use_ema`, the best weights of `EarlyStopping`) is done after the last span
    alone; more epochs after that start from these weights. Callbacks in `also`
    keep their state from span to span: the attributes that are numbers,
    strings, arrays, or lists and dicts of these. Others start each span afresh.

    Raises:
        InputError: if the folder cannot be written, or holds checkpoints of
            another model. From `fit`, if the data end before
            `steps_per_epoch`, or if another callback moves the epochs (as
            `BackupAndRestore` does) or swaps the weights between epochs
            (`SwapEMAWeights(swap_on_epoch=True)`).

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
        also: Sequence[tf.Module | keras.callbacks.Callback] = (),
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
        kind = keras.callbacks.Callback
        self.callbacks = [each for each in also if isinstance(each, kind)]
        self.also = [each for each in also if not isinstance(each, kind)]
        self.step = 0
        self.logs: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.inside = self.stopped = False
        self.set_model(model)
        with tf.device("CPU"):
            self._record = tf.Variable("", dtype=tf.string, trainable=False)
            self._states = tf.Variable(b"", dtype=tf.string, trainable=False)
        self._files = checkpoint_folder.CheckpointFolder(
            self.folder, keep, model.distribute_strategy
        )
        self._steps_per_epoch = self._total_steps = None
        self._weights = epoch_end.EpochEnd(model, self._variables)
        self._written: tf.train.Checkpoint | None = None
        self._signal = StopSignal()
        self._restored_path = self._files.newest_complete()
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
        self._steps_per_epoch = steps_per_epoch
        self._total_steps = epochs * steps_per_epoch
        try:
            while self.step < self._total_steps and not self.stopped:
                epoch, done = divmod(self.step, steps_per_epoch)
                remaining = steps_per_epoch - done
                at_once = self.model.steps_per_execution
                if remaining % at_once:
                    raise InputError(
                        "The steps left of an epoch must be a multiple of "
                        f"`steps_per_execution`, {at_once}. "
                        f"Received: {remaining}"
                    )
                span = {
                    "initial_epoch": epoch,
                    "epochs": epoch + 1 if fresh or done else epochs,
                    "steps_per_epoch": remaining,
                }
                yield self.step, span
                if self.model.stop_training:
                    return
        finally:  # also if an error or Ctrl-C has ended `fit`
            self._signal.restore()

    def on_train_begin(self, logs=None):
        self._signal.listen()
        if self._is_restored():
            # Once more: callbacks such as `DATL` may repeat their estimate.
            self._restore()
        self._return_states()

    def on_epoch_begin(self, epoch, logs=None):
        per_epoch = self._steps_per_epoch
        if per_epoch and epoch != self.step // per_epoch:
            self._refuse(
                "`fit` must begin at the epoch of the span; leave out "
                "callbacks that change it, such as BackupAndRestore. "
                f"Received: epoch {epoch} for {self.step // per_epoch}"
            )
        if self._is_restored() and self.inside:
            # Once more: other callbacks have begun the epoch a second time.
            self._restore()
            self._return_states()
            epoch_metrics.restore_at_first_step(
                self.model, self._restored_path, self._metric_shapes
            )
        self._restored_path = None
        self.inside = True
        self._steps_before = self.step

    def on_train_batch_end(self, batch, logs=None):
        self.step = self._steps_before + batch + 1
        loss = float((logs or {}).get("loss", 0.0))
        if not np.isfinite(loss):
            self._raise_diverged(f"loss={loss}", batch)
        # At the end of an epoch, the other callbacks come first.
        if batch + 1 == self.params["steps"]:
            self._weights.keep_last_step()
        else:
            self._stop_or_save()

    def on_epoch_end(self, epoch, logs=None):
        taken = self.step - self._steps_before
        wanted = self.params["steps"] or 0
        if taken < wanted and not self.model.stop_training:
            self._refuse(
                "The data ended before the epoch; make them endless, with "
                f"`repeat()`. Received: {taken} of {wanted} steps"
            )
        if self._weights.swapped():
            self._refuse(epoch_end.SWAPPED)
        if logs:
            self.logs.append(
                {k: epoch_metrics.plain(v) for k, v in logs.items()}
            )
        self.inside = False
        last_of_fit = epoch + 1 == self.params["epochs"]
        if last_of_fit and self._goes_on():
            self._keep_states()
            self._weights.keep()
        # Else the end of the training follows, which saves what it leaves.
        ends = last_of_fit or self.model.stop_training
        if self._goes_on() or not ends:
            self._stop_or_save()

    def on_train_end(self, logs=None):
        self._signal.restore()
        if self._goes_on():
            self._weights.put_back()
        self.stopped = bool(self.model.stop_training)
        unknown_end = self.params["steps"] is None
        if self._saved_step < self.step or self.stopped or unknown_end:
            self._write()
        self._files.close()
        if self._signal.requested:
            raise Stopped

    def _is_restored(self) -> bool:
        """Whether nothing was trained since a checkpoint was read."""
        return bool(self._restored_path) and self._saved_step == self.step

    def _goes_on(self) -> bool:
        """Whether other spans follow this call of `fit`."""
        total = self._total_steps or 0
        return self.step < total and not self.model.stop_training

    def history(self) -> dict[str, list]:
        """Returns the values of every log, of the epochs that have it."""
        names = dict.fromkeys(name for logs in self.logs for name in logs)
        return {
            name: [logs[name] for logs in self.logs if name in logs]
            for name in names
        }

    def save(self) -> None:
        """Writes a checkpoint of the present step."""
        self._keep_states()
        self._write()

    def _write(self) -> None:
        for variable in self._variables():
            value = variable.value
            if value.dtype.is_floating and not epoch_end.all_finite(value):
                self._raise_diverged(f"{variable.path} not finite")
        self._saved_step = self.step
        if self.folder is None:
            return
        record = {name: getattr(self, name) for name in _RECORDED_ATTRIBUTES}
        record["seconds"] += time.monotonic() - self._started
        record["metric_shapes"] = epoch_metrics.shapes(self.model)
        self._record.assign(json.dumps(record))
        if self._written is None:
            self._written = self._checkpoint()
        self._written.metric_values = epoch_metrics.checkpointed(self.model)
        try:
            self._files.save(self._written, self.step)
        except InputError:
            self._signal.restore()
            raise

    def _variables(self) -> list[keras.Variable]:
        model = self.model
        variables = [*model.variables, *model.optimizer.variables]
        policy_optimizer = getattr(model, "policy_optimizer", None)
        return variables + getattr(policy_optimizer, "variables", [])

    def _checkpoint(self) -> tf.train.Checkpoint:
        checkpoint = tf.train.Checkpoint(
            training=[variable.value for variable in self._variables()],
            also=[v for each in self.also for v in each.variables],
            record=self._record,
        )
        if self.callbacks:
            checkpoint.callbacks = self._states
        return checkpoint

    def _restore(self) -> None:
        path = self._restored_path
        checkpoint_folder.restore(self._checkpoint(), path)
        record = checkpoint_folder.read_record(self._record.numpy(), path)
        for name in _RECORDED_ATTRIBUTES:
            setattr(self, name, record.get(name, False))
        self._metric_shapes = record.get("metric_shapes")

    def _keep_states(self) -> None:
        self._states.assign(callback_state.encode(self.callbacks))

    def _return_states(self) -> None:
        state = self._states.numpy()
        if state:
            callback_state.decode(state, self.callbacks)

    def _stop_or_save(self) -> None:
        if self._signal.requested:
            if self._files.num_workers() == 1:
                self.save()
            self._signal.restore()
            raise Stopped
        if self.step - self._saved_step >= self.every:
            self.save()

    def _raise_diverged(self, received: str, batch: int | None = None) -> None:
        checkpoint = "no checkpoint was kept"
        if self._saved_step and self.folder:
            checkpoint = f"the checkpoint of step {self._saved_step} is kept"
        at = "" if batch is None else f" (batch {batch + 1} of its epoch)"
        self._signal.restore()
        raise DivergedError(
            f"Training diverged at step {self.step}{at}; lower the learning "
            f"rate; {checkpoint}. Received: {received}"
        )

    def _refuse(self, sentence: str) -> None:
        self._signal.restore()
        raise InputError(sentence)
