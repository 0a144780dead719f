"""What the credits of L2TL share: running figures and a table by class."""

import keras
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl import losses
from tf_transfer.l2tl.policy import WeightPolicy
from tf_transfer.l2tl.types import Batch, Transition
from tf_transfer.training.distribution import total

LARGEST = 3.0
"""Of an advantage or a credit, in standard deviations."""


def state(layer: keras.layers.Layer, shape: tuple, name: str):
    """Adds a variable that is the same on all replicas."""
    return layer.add_weight(
        shape,
        "zeros",
        name=name,
        trainable=False,
        aggregation="only_first_replica",
    )


class Credit(keras.layers.Layer):
    """Base of the credits.

    Args:
        decay: weight of the past in the running figures.
    """

    def __init__(self, decay: float, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= decay < 1:
            raise InputError(
                f"`decay` must be at least 0 and below 1. Received: {decay}"
            )
        self.decay = float(decay)

    def get_config(self) -> dict:
        return super().get_config() | {"decay": self.decay}

    def look(self, model, images, labels) -> tuple[Batch, list | None]:
        """Passes validation images through the encoder, once."""
        return model.look(images, labels), None

    def policy_loss(self, model, evidence: Transition, active: tf.Tensor):
        """Returns the loss by whose gradient the policy learns.

        Args:
            model: the `L2TL` model.
            evidence: of this step.
            active: 1, or 0 while the policy is frozen and nothing is kept.
        """
        raise NotImplementedError


class ClassCredit(Credit):
    """Base of the credits that tell the source classes apart.

    Keeps a table of the average effect of every source class on every group
    of validation images, and credits a class with the sum of its effects on
    the groups, standardised over the classes.

    Args:
        decay: weight of the past per example of a class.
    """

    def __init__(self, decay: float = 0.995, **kwargs):
        super().__init__(decay, **kwargs)

    def build(self, input_shape):
        """Creates the table; `input_shape` is (source classes, groups)."""
        self.sums = state(self, input_shape, "sums")
        self.mass = state(self, input_shape, "mass")
        self.built = True

    def policy_loss(self, model, evidence: Transition, active: tf.Tensor):
        """Returns minus the credit that the policy earns on average."""
        self._average(model, evidence, active)
        return -model.policy.expected_credit(*self.credit(model.policy))

    def effects(
        self, model, evidence: Transition
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the effect of each source example on each group.

        Returns:
            The mean effects `[B, groups]`, and whether there were images of
            the group, `[groups]` float32; the same on all replicas.
        """
        raise NotImplementedError

    def _average(self, model, evidence: Transition, active) -> None:
        effects, known = self.effects(model, evidence)
        sums = tf.math.unsorted_segment_sum(
            tf.concat([effects, tf.ones_like(effects[:, :1])], axis=1),
            evidence.source.labels,
            model.num_source_classes,
        )
        sums = total(sums)
        count = sums[:, -1:]
        means = tf.math.divide_no_nan(sums[:, :-1], count)
        rate = active * (1 - self.decay**count) * known
        self.sums.assign(self.sums + rate * (means - self.sums))
        self.mass.assign(self.mass + rate * (1 - self.mass))

    def table(self) -> tf.Tensor:
        """Returns the average effects, `[C, groups]`; 0 where unknown."""
        return tf.math.divide_no_nan(self.sums.value, self.mass.value)

    def gains(self, table: tf.Tensor) -> tf.Tensor:
        """Returns what each class is worth, `[C]`, from the table."""
        return tf.reduce_sum(table, axis=1)

    def credit(self, policy: WeightPolicy) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the credit of the classes, `[C]`, and of the source loss.

        Gains less their mean, in standard deviations over the classes seen so
        far; an unseen class has 0. The source loss as a whole is credited
        with the mean effect of the classes as they are weighted now, each
        counted once however many examples it has.
        """
        table = self.table()
        seen = tf.cast(tf.reduce_any(self.mass.value > 0, axis=1), tf.float32)
        gains = self.gains(table)
        mean = losses.weighted_mean(gains, seen)
        variance = losses.weighted_mean((gains - mean) ** 2, seen)
        spread = tf.sqrt(variance + 1e-12)
        overall = losses.weighted_mean(
            tf.reduce_sum(table, axis=1), seen * policy.expected_weights()
        )

        def bounded(value):
            return tf.clip_by_value(value / spread, -LARGEST, LARGEST)

        return seen * bounded(gains - mean), bounded(overall)
