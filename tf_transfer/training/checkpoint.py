"""Checkpoints of a training, and its exact continuation."""

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

_NAME = re.compile(r"step-(\d+)\.index")
_RECORDED = ("step", "logs", "seconds", "inside")


class Resume(keras.callbacks.Callback):
    """Saves a training as it goes, and takes it up where it stopped.

    Saved is all that training changes: the model (with the policy of an
    `L2TL`), its optimizers and random states, the metrics and logs so far, and
    what `also` names. With data that is a function of the step, the final
    weights on a CPU are bitwise those of a training that never stopped:

        resume = Resume(model, "checkpoints", also=[weights])
        for start, span in resume.spans(epochs=10, steps_per_epoch=100):
            model.fit(data(start), callbacks=[..., resume], **span)

    A checkpoint is whole or absent. A damaged one is passed over, with a
    warning, for the one before. SIGTERM saves at the end of the step (of
    several, with `steps_per_execution`) and raises `Stopped`; a loss that is
    not finite ends the training before it is saved. With several workers all
    of them need the folder; the chief writes, and SIGTERM does not save.

    Args:
        model: built and compiled.
        folder: of the checkpoints of this training alone; None keeps none.
        every: steps from one checkpoint to the next.
        keep: how many are kept, the newest.
        also: `ImportanceWeights`, or other objects with `variables`.

    Attributes:
        step: steps taken so far, those before the interruption included.
        logs: of every finished epoch, likewise; numbers, or lists of them.
        seconds: spent on the training before this object took it up.
        inside: whether an epoch has begun and not ended.

    Put it last in the list of callbacks. State that another callback holds
    (the patience of `EarlyStopping`) starts anew.

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
        if not (model.built and model.compiled):
            raise InputError(
                "The model must be built and compiled before its training is "
                f"taken up. Received: {model.name!r}"
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
        self._scratch = None
        self._asked = False
        self._previous = None
        self._found = self._newest_whole()
        if self._found:
            self._restore()
        self._saved = self.step
        self._started = time.monotonic()

    def spans(
        self, epochs: int, steps_per_epoch: int, fresh: bool = False
    ) -> Iterator[tuple[int, dict[str, int]]]:
        """Yields what is left to `fit`: the first step, and its arguments.

        An epoch that was broken off is finished first, in a span of its own.

        Args:
            epochs: of the whole training.
            steps_per_epoch: likewise.
            fresh: a span for every epoch, for data that changes with what a
                callback does at an epoch's end.

        Raises:
            InputError: if executions of several steps do not fill an epoch.
        """
        try:
            while self.step < epochs * steps_per_epoch:
                epoch, done = divmod(self.step, steps_per_epoch)
                at_once = self.model.steps_per_execution
                if (steps_per_epoch - done) % at_once:
                    raise InputError(
                        "The steps left of an epoch must be a multiple of "
                        f"`steps_per_execution`, {at_once}. "
                        f"Received: {steps_per_epoch - done}"
                    )
                alone = fresh or done
                yield (
                    self.step,
                    {
                        "initial_epoch": epoch,
                        "epochs": epoch + 1 if alone else epochs,
                        "steps_per_epoch": steps_per_epoch - done,
                    },
                )
                if self.model.stop_training:
                    return
        finally:  # also where an error, or Ctrl-C, has ended `fit`
            self._stop_listening()

    def on_train_begin(self, logs=None):
        self._asked = False
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._ask)

    def on_epoch_begin(self, epoch, logs=None):
        if self._found and self._saved == self.step:
            # Once more: `fit` has reset the metrics, and other callbacks may
            # have estimated anew what was estimated before the interruption.
            self._restore()
            if not self.inside:
                self.model.reset_metrics()
        self._found = None
        self.inside = True
        self._before = self.step

    def on_train_batch_end(self, batch, logs=None):
        self.step = self._before + batch + 1
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            self._fail(f"loss={float(loss)}", batch)
        # At the end of an epoch other callbacks are heard first.
        if batch + 1 < self.params["steps"]:
            self._stop_or_save()

    def on_epoch_end(self, epoch, logs=None):
        if logs:
            found = {k: np.asarray(v, float).tolist() for k, v in logs.items()}
            self.logs.append(found)
        self.inside = False
        self._stop_or_save()

    def on_train_end(self, logs=None):
        self._stop_listening()
        if self._saved < self.step:
            self.save()
        if self._scratch:
            shutil.rmtree(self._scratch)
            self._scratch = self._manager = None
        if self._asked:  # after the last step's check
            raise Stopped

    def history(self) -> dict[str, list]:
        """Returns the logs by name, of the epochs that have them."""
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
                self._fail(f"{variable.path} not finite")
        self._saved = self.step
        if self.folder is None:
            return
        record = {name: getattr(self, name) for name in _RECORDED}
        self._record.assign(json.dumps(record | {"seconds": self._spent()}))
        try:
            if self._manager is None:
                self._manager = self._make_manager()
            self._manager.save(checkpoint_number=self.step)
        except (OSError, tf.errors.OpError) as error:
            alone = self._workers() == 1
            if isinstance(error, tf.errors.OpError) and not alone:
                raise  # more likely another worker is gone
            self._stop_listening()
            raise InputError(
                f"The checkpoint cannot be written ({_reason(error)}). "
                f"Received: {self.folder}"
            ) from error

    def _variables(self) -> list[keras.Variable]:
        model = self.model
        found = [*model.variables, *model.optimizer.variables]
        policy = getattr(model, "policy_optimizer", None)
        return found + (list(policy.variables) if policy is not None else [])

    def _checkpoint(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(
            training=[variable.value for variable in self._variables()],
            also=[
                variable for each in self.also for variable in each.variables
            ],
            # Those of compiled metrics exist from the first step on.
            metrics={v.path: v.value for v in self.model.metrics_variables},
            record=self._record,
        )

    def _make_manager(self) -> tf.train.CheckpointManager:
        if distribution.is_chief(self.model.distribute_strategy):
            folder = self.folder
            for left in folder.glob("step-*_temp"):  # by a kill in a save
                shutil.rmtree(left, ignore_errors=True)
        else:
            # All workers must save together, but only one leaves a file.
            folder = self._scratch = tempfile.mkdtemp()
        return tf.train.CheckpointManager(
            self._checkpoint(), str(folder), self.keep, checkpoint_name="step"
        )

    def _newest_whole(self) -> pathlib.Path | None:
        """Returns the newest checkpoint of which every byte can be read."""
        steps = [_NAME.fullmatch(path.name) for path in _files(self.folder)]
        for step in sorted((int(m[1]) for m in steps if m), reverse=True):
            path = self.folder / f"step-{step}"
            try:
                reader = tf.train.load_checkpoint(str(path))
                for name in reader.get_variable_to_shape_map():
                    reader.get_tensor(name)
                return path
            except Exception:  # of many types, and all mean the same
                warnings.warn(
                    f"The checkpoint {path} is damaged; going on from the one "
                    "before it.",
                    stacklevel=3,
                )
        return None

    def _restore(self) -> None:
        path = str(self._found)
        try:
            status = self._checkpoint().restore(path)
            status.assert_existing_objects_matched().expect_partial()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise InputError(
                "The folder holds checkpoints of another model or another "
                f"training. Received: {path}"
            ) from error
        record = json.loads(self._record.numpy())
        for name in _RECORDED:
            setattr(self, name, record[name])

    def _workers(self) -> int:
        return distribution.num_workers(self.model.distribute_strategy)

    def _spent(self) -> float:
        return self.seconds + time.monotonic() - self._started

    def _stop_or_save(self) -> None:
        if self._asked:
            self._stop()
        if self.step - self._saved >= self.every:
            self.save()

    def _ask(self, number, frame) -> None:
        if self._asked:  # twice: at once
            raise Stopped
        self._asked = True

    def _stop(self) -> None:
        if self._workers() == 1:
            self.save()
        self._stop_listening()
        raise Stopped

    def _stop_listening(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
        self._previous = None

    def _fail(self, received: str, batch: int | None = None) -> None:
        self._stop_listening()
        kept = "no checkpoint was kept"
        if self._saved and self.folder:
            kept = f"the checkpoint of step {self._saved} is kept"
        at = "" if batch is None else f" (batch {batch + 1} of its epoch)"
        raise InputError(
            f"Training diverged at step {self.step}{at}; lower the learning "
            f"rate; {kept}. Received: {received}"
        )


def _files(folder: pathlib.Path | None) -> list[pathlib.Path]:
    return list(folder.iterdir()) if folder and folder.is_dir() else []


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror
    return error.message.split(";")[-1].strip()
