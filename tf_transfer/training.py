"""Repeated training of one model: traced once, reset between runs."""

import math
import pathlib
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.checkpoint import Resume
from tf_transfer.config import Training
from tf_transfer.data import ImageData
from tf_transfer.distribution import distributed, stream_outputs
from tf_transfer.errors import InputError

State = list[np.ndarray]
"""Values of a model's variables, random states included."""


class WarmupCosine(keras.callbacks.Callback):
    """Ramps the learning rate up over a tenth of the steps, then to zero.

    Linear, then a half cosine (Ngiam et al. 2018, section 4), by the steps
    that the optimizer has counted; in the steps of one execution the rate is
    that of their middle. A callback rather than a schedule keeps the rate a
    variable, so that one traced step serves every rate.

    Args:
        peak: the largest learning rate.
        steps: optimizer steps in all.
    """

    def __init__(self, peak: float, steps: int):
        super().__init__()
        if not (peak > 0 and steps > 0):
            raise InputError(
                f"`peak` and `steps` must be positive. Received: {peak=}, "
                f"{steps=}"
            )
        self.peak = peak
        self.steps = steps

    def on_train_batch_begin(self, batch, logs=None):
        if not batch:
            # The optimizer's own count goes on after an interruption.
            self.before = int(self.model.optimizer.iterations.numpy())
        step = self.before + batch + (self.model.steps_per_execution - 1) / 2
        ramp = (step + 1) / max(1, self.steps // 10)
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        self.model.optimizer.learning_rate = self.peak * min(1, ramp) * cosine


class Steps(keras.callbacks.Callback):
    """Tells the progress line how many steps were taken."""

    def __init__(self, advance: Callable[[int], None]):
        super().__init__()
        self.advance = advance

    def on_epoch_end(self, epoch, logs=None):
        self.advance(self.params["steps"])


def epochs_of(steps: int) -> int:
    """Returns the number of epochs of a stage: up to ten, of equal length."""
    return math.gcd(steps, 10)


def steps_at_once(stages: Iterable[int]) -> int:
    """Returns how many steps a model can take per execution.

    Every call of a traced function costs about a millisecond.

    Args:
        stages: the steps of everything that the model is trained for.

    Returns:
        The largest number up to ten that divides all of their epochs.

    Example:

    >>> steps_at_once([300, 120])  # epochs of 30 and 12 steps
    6
    """
    epochs = [steps // epochs_of(steps) for steps in stages if steps]
    common = math.gcd(*epochs)
    return max(n for n in range(1, 11) if common % n == 0)


def sgd() -> keras.optimizers.SGD:
    """Returns the optimizer of all stages; see `config.Training`."""
    return keras.optimizers.SGD(momentum=0.9, nesterov=True, weight_decay=5e-3)


class ReusableModel:
    """A compiled classifier that is trained again and again.

    Tracing a model costs more than a short training, so the methods and
    seeds of an experiment share it, and load their own state into it.

    Args:
        model: a built classifier that returns logits.
        stages: the steps of everything that it will be trained for; steps
            that do not go with them make it trace again.
    """

    def __init__(self, model: keras.Model, stages: Iterable[int] = ()):
        self.model = model
        self.at_once = steps_at_once(stages)
        with model.distribute_strategy.scope():
            self._trained = distributed(model)
        self.variables = list(model.variables)
        self.compile()

    def compile(self) -> None:
        """Compiles again, for a change of what is trainable."""
        with self.model.distribute_strategy.scope():
            optimizer = sgd()
            # Unbuilt, the optimizer would make `fit` trace twice.
            optimizer.build(self._trained.trainable_variables)
            self._trained.compile(
                optimizer,
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
                steps_per_execution=self.at_once,
            )
        self._build_metrics(self.model.output_shape[-1])

    def _build_metrics(self, num_classes: int) -> None:
        """Creates the metrics' variables, which a checkpoint may hold.

        Under a strategy Keras does it.
        """
        if self.model.distribute_strategy.num_replicas_in_sync == 1:
            logits = np.zeros((1, num_classes), np.float32)
            self._trained.compute_metrics(None, np.zeros(1, np.int32), logits)
            self._trained.reset_metrics()

    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """Returns the optimizers that start afresh with each `fit`."""
        return [self._trained.optimizer]

    def state(self) -> State:
        """Returns a copy of the values of all variables."""
        return [np.array(variable) for variable in self.variables]

    def load(self, state: State) -> None:
        """Sets all variables."""
        for variable, value in zip(self.variables, state, strict=True):
            variable.assign(value)

    def fit(
        self,
        batches: Callable[[int], tf.data.Dataset],
        stage: Training,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        folder: pathlib.Path | None = None,
        every: int = 100,
        also: Sequence[tf.Module] = (),
        fresh: bool = False,
    ) -> Resume:
        """Trains for the stage's steps, or for what is left of them.

        The optimizer starts afresh. There are up to ten epochs.

        Args:
            batches: the endless data from a step on.
            stage: steps and learning rate.
            callbacks: of the stage.
            folder: of the stage's checkpoints; None keeps none.
            every: steps between checkpoints.
            also: what else they hold; see `Resume`.
            fresh: ask for the data anew in every epoch.

        Returns:
            The finished training, with its logs.
        """
        epochs = epochs_of(stage.steps)
        steps = stage.steps // epochs
        if steps % self.at_once:
            self.at_once = steps_at_once([stage.steps])
            self.compile()
        for optimizer in self.optimizers():
            for variable in optimizer.variables:
                if variable is not optimizer.learning_rate:
                    variable.assign(keras.ops.zeros_like(variable))
        schedule = WarmupCosine(stage.learning_rate, stage.steps)
        resume = Resume(self._trained, folder, every=every, also=also)
        for start, span in resume.spans(epochs, steps, fresh):
            self._trained.fit(
                batches(start),
                callbacks=[schedule, *callbacks, resume],
                verbose=0,
                shuffle=False,
                **span,
            )
        return resume

    def logits(self, images: ImageData) -> np.ndarray:
        """Returns the outputs for images, `[N, C]`."""
        outputs = stream_outputs(self.model, images.batches())
        return np.concatenate([rows for rows, _ in outputs])


class ReusableL2TL(ReusableModel):
    """An `L2TL` model that is trained again and again."""

    def __init__(self, model: keras.Model, stages: Iterable[int] = ()):
        super().__init__(model, stages)
        self.initial = self.state()

    def compile(self) -> None:
        with self.model.distribute_strategy.scope():
            self.model.compile(
                sgd(),
                "adam",
                metrics=["accuracy"],
                steps_per_execution=self.at_once,
            )
        self._build_metrics(self.model.num_target_classes)

    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [self.model.optimizer, self.model.policy_optimizer]

    def restart(self, generalist: keras.Model, head: list[np.ndarray]) -> None:
        """Forgets everything, and starts from a trained classifier.

        Args:
            generalist: gives encoder and source head.
            head: weights of the target head.
        """
        self.load(self.initial)
        self.model.warm_start(generalist)
        self.model.target_head.set_weights(head)
