"""Models that are traced once and trained again and again."""

import contextlib
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.config import Training
from tf_transfer.errors import InputError
from tf_transfer.experiment.stages import optimizers
from tf_transfer.experiment.stages.pipelines import BatchesFrom
from tf_transfer.models.inference import stream_outputs
from tf_transfer.training.checkpoint import Resume
from tf_transfer.training.distribution import distributed

_SMALL = 1_000_000  # parameters

State = list[np.ndarray]
"""Values of a model's variables, random states included."""


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises linearly for a tenth of the steps, then falls to zero.

    It falls by a half cosine (Ngiam et al. 2018, section 4). Peak and length
    are variables, so that one traced step serves every stage.
    """

    def __init__(self):
        settings = {"trainable": False, "aggregation": "only_first_replica"}
        self.peak = keras.Variable(0.0, dtype="float32", **settings)
        self.length = keras.Variable(1.0, dtype="float32", **settings)

    def plan(self, peak: float, steps: int) -> None:
        """Sets the largest learning rate and the number of steps."""
        if not (peak > 0 and steps > 0):
            raise InputError(
                f"`peak` and `steps` must be positive. Received: {peak=}, "
                f"{steps=}"
            )
        self.peak.assign(peak)
        self.length.assign(steps)

    def __call__(self, step):
        # In double precision: devices round single precision differently.
        step, length, peak = (
            keras.ops.cast(value, "float64")
            for value in (step, self.length, self.peak)
        )
        ramp = tf.minimum((step + 1) / tf.maximum(length // 10, 1), 1)
        cosine = 0.5 * (1 + tf.cos(math.pi * step / length))
        return tf.cast(peak * ramp * cosine, tf.float32)


class ProgressCallback(keras.callbacks.Callback):
    """Counts the steps of a training for the progress line.

    Args:
        advance: called with the number of steps taken.
    """

    def __init__(self, advance: Callable[[int], None]):
        super().__init__()
        self.advance = advance

    def on_epoch_end(self, epoch, logs=None):
        self.advance(self.params["steps"])


def epochs_of(steps: int) -> int:
    """Returns the number of epochs of a stage: up to ten, of equal length."""
    return math.gcd(steps, 10)


def steps_per_execution(stages: Iterable[int], most: int = 10) -> int:
    """Returns how many steps a model can take per execution.

    Args:
        stages: the steps of everything that the model is trained for.
        most: the largest answer.

    Returns:
        The largest number that divides all of their epochs.

    Example:

    >>> steps_per_execution([300, 120])  # epochs of 30 and 12 steps
    6
    """
    epochs = [steps // epochs_of(steps) for steps in stages if steps]
    common = math.gcd(*epochs)
    return max(n for n in range(1, most + 1) if common % n == 0)


class Trainer:
    """A compiled classifier that is trained again and again.

    Tracing a model takes longer than a short training, so the methods and
    seeds of an experiment share it, and load their own state into it. The
    model itself stays uncompiled, and is saved without an optimizer.

    Args:
        model: a built classifier that returns logits.
        stages: the steps of everything that it will be trained for; it is
            traced again for steps that do not fit them.
        optimizer: its name, see `optimizers`.
    """

    def __init__(
        self,
        model: keras.Model,
        stages: Iterable[int] = (),
        optimizer: str = "sgd",
    ):
        self.model = model
        self.optimizer = optimizer
        self.variables = list(model.variables)
        self._loaded = False
        # Calling a traced function takes a millisecond, which matters for a
        # small model; a large one would only react late when asked to stop.
        small = model.count_params() < _SMALL
        self.steps_per_execution = steps_per_execution(
            stages, most=10 if small else 1
        )
        with model.distribute_strategy.scope():
            self._trained = self._trained_model()
        self.compile()

    def _trained_model(self) -> keras.Model:
        """Returns what is compiled: a model over the same layers."""
        trained = distributed(self.model)
        if trained is self.model:
            return keras.Model(self.model.inputs, self.model.outputs)
        return trained

    def _new_optimizer(self) -> keras.optimizers.Optimizer:
        self._schedule = WarmupCosine()
        return optimizers.create(self.optimizer, self._schedule, self._heads())

    def _heads(self) -> list[keras.Layer]:
        """Returns the layers that give the outputs."""
        return self.model.layers[-1:]

    def compile(self, steps_per_execution: int | None = None) -> None:
        """Compiles again, for a change of what is trainable.

        Args:
            steps_per_execution: if it is not the usual one.
        """
        with self.model.distribute_strategy.scope():
            optimizer = self._new_optimizer()
            # With an unbuilt optimizer `fit` would trace twice.
            optimizer.build(self._trained.trainable_variables)
            self._trained.compile(
                optimizer,
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
                steps_per_execution=steps_per_execution
                or self.steps_per_execution,
            )
        self._build_metrics(self._classifier().output_shape[-1])

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

    def assign(self, state: State) -> None:
        """Sets the values of all variables."""
        for variable, value in zip(self.variables, state, strict=True):
            variable.assign(value)

    @contextlib.contextmanager
    def loaded(self, state: State) -> Iterator[keras.Model]:
        """Gives the model with a state, which holds until the block ends.

        Raises:
            RuntimeError: inside another such block, whose state would be lost.
        """
        if self._loaded:
            raise RuntimeError("The model is in use with another state")
        self.assign(state)
        self._loaded = True
        try:
            yield self.model
        finally:
            self._loaded = False

    def fit(
        self,
        batches: BatchesFrom,
        stage: Training,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        folder: pathlib.Path | None = None,
        every: int = 100,
        also: Sequence[tf.Module] = (),
        fresh: bool = False,
    ) -> Resume:
        """Trains for the steps of a stage, or for what is left of them.

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
        per_execution = math.gcd(steps, self.steps_per_execution)
        if per_execution != self._trained.steps_per_execution:
            self.compile(per_execution)
        for optimizer in self.optimizers():
            for variable in optimizer.variables:
                if variable is not optimizer.learning_rate:
                    variable.assign(keras.ops.zeros_like(variable))
        self._schedule.plan(stage.learning_rate, stage.steps)
        resume = Resume(self._trained, folder, every=every, also=also)
        for start, span in resume.spans(epochs, steps, fresh):
            self._trained.fit(
                batches(start),
                callbacks=[*callbacks, resume],
                verbose=0,
                shuffle=False,
                **span,
            )
        return resume

    def probe(self, images: np.ndarray) -> np.ndarray:
        """Returns the outputs for a few images in 0..1, `[N, C]`."""
        return np.array(self._classifier()(images, training=False))

    def chance_loss(self) -> float:
        """Returns the loss of equal probabilities."""
        return float(np.log(self.model.output_shape[-1]))

    def _classifier(self) -> keras.Model:
        return self.model

    def logits(self, batches: tf.data.Dataset) -> np.ndarray:
        """Returns the outputs for a finite dataset, `[N, C]`."""
        outputs = stream_outputs(self.model, batches)
        return np.concatenate([rows for rows, _ in outputs])


class TwoHeadTrainer(Trainer):
    """Trains a model with a source and a target head; base of such trainers."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._initial = self.state()

    def _trained_model(self) -> keras.Model:
        return self.model

    def _heads(self) -> list[keras.Layer]:
        return [self.model.source_head, self.model.target_head]


class L2TLTrainer(TwoHeadTrainer):
    """An `L2TL` model that is trained again and again.

    Args:
        model: to be compiled here.
        stages: the steps of everything that it will be trained for.
        policy_learning_rate: of Adam on the policy.
        optimizer: of the model.
    """

    def __init__(
        self,
        model: keras.Model,
        stages: Iterable[int] = (),
        policy_learning_rate: float = 0.001,
        optimizer: str = "sgd",
    ):
        self.policy_learning_rate = policy_learning_rate
        super().__init__(model, stages, optimizer)

    def chance_loss(self) -> float:
        model = self.model
        # The loss is a sum over both heads.
        return float(
            np.log(model.num_source_classes * model.num_target_classes)
        )

    def _classifier(self) -> keras.Model:
        return self.model.classifier()

    def compile(self, steps_per_execution: int | None = None) -> None:
        with self.model.distribute_strategy.scope():
            self.model.compile(
                self._new_optimizer(),
                keras.optimizers.Adam(self.policy_learning_rate),
                metrics=["accuracy"],
                steps_per_execution=steps_per_execution
                or self.steps_per_execution,
            )
        self._build_metrics(self.model.num_target_classes)

    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [self.model.optimizer, self.model.policy_optimizer]

    def restart(self, generalist: keras.Model, head: list[np.ndarray]) -> None:
        """Resets everything, and starts from a trained classifier.

        Args:
            generalist: gives encoder and source head.
            head: weights of the target head.
        """
        with self.loaded(self._initial):
            self.model.warm_start(generalist)
            self.model.target_head.set_weights(head)
