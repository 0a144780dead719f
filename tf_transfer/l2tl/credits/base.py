"""Base classes of the credits: running averages, and a table by class."""

import keras
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl import losses
from tf_transfer.l2tl.policy import WeightPolicy
from tf_transfer.l2tl.types import Batch, Transition
from tf_transfer.training.distribution import total

BOUND = 3.0
"""Advantages and credits are clipped to this many standard deviations."""


class Credit(keras.layers.Layer):
    """Base of the credits.

    Args:
        decay: weight of the past in the running averages.

    Raises:
        InputError: if `decay` is not in 0..1, 1 excluded.
    """

    def __init__(self, decay: float, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        if not 0 <= decay < 1:
            raise InputError(
                f"`decay` must be at least 0 and below 1. Received: {decay}"
            )
        self.decay = float(decay)

    def get_config(self) -> dict:
        return super().get_config() | {"decay": self.decay}

    def add_average(self, shape: tuple, name: str) -> keras.Variable:
        """Adds a running average, which is the same on all replicas."""
        return self.add_weight(
            shape,
            "zeros",
            name=name,
            trainable=False,
            aggregation="only_first_replica",
        )

    def encode_validation(
        self, model, images, labels
    ) -> tuple[Batch, list[tf.Tensor] | None]:
        """Encodes the validation images, in one pass.

        Returns:
            The batch with its features, and the gradients for
            `Transition.validation_gradients`, if this credit needs them.
        """
        return model.encode_batch(images, labels), None

    def observe(
        self, model, transition: Transition, active: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Updates the running averages by a step.

        Args:
            model: the `L2TL` model.
            transition: the step just taken.
            active: 1, or 0 while the policy is frozen; then the running
                averages stay as they are.

        Returns:
            What `policy_loss` needs to know of the step.
        """
        raise NotImplementedError

    def policy_loss(self, policy: WeightPolicy, *signals) -> tf.Tensor:
        """Returns the loss whose gradient trains the policy.

        XLA compiles it, so shapes must be static.

        Args:
            policy: of the model.
            *signals: from `observe`.
        """
        raise NotImplementedError


class ClassCredit(Credit):
    """Base of the credits that differ between source classes.

    Keeps a table of the average effect of every source class on every group
    of validation images. The credit of a class is the sum of its effects on
    the groups, standardised over the classes.

    Args:
        decay: weight of the past per example of a class.
    """

    def __init__(self, decay: float = 0.995, **kwargs):
        super().__init__(decay, **kwargs)

    def build(self, input_shape):
        """Creates the table; `input_shape` is (source classes, groups)."""
        self.sums = self.add_average(input_shape, "sums")
        self.mass = self.add_average(input_shape, "mass")
        self.built = True

    def policy_loss(self, policy: WeightPolicy, *signals) -> tf.Tensor:
        """Returns minus the expected credit of the policy."""
        return -policy.expected_credit(*self.credit(policy))

    def effects(
        self, model, transition: Transition
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the effect of each source example on each group.

        Returns:
            The mean effects `[B, groups]`, and whether the batch had images
            of the group, `[groups]` float32, the same on all replicas.
        """
        raise NotImplementedError

    def observe(
        self, model, transition: Transition, active: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Updates the averages of the classes of all replicas' batches."""
        effects, present = self.effects(model, transition)
        sums = tf.math.unsorted_segment_sum(
            tf.concat([effects, tf.ones_like(effects[:, :1])], axis=1),
            transition.source.labels,
            model.num_source_classes,
        )
        sums = total(sums)
        count = sums[:, -1:]
        means = tf.math.divide_no_nan(sums[:, :-1], count)
        rate = active * (1 - self.decay**count) * present
        self.sums.assign(self.sums + rate * (means - self.sums))
        self.mass.assign(self.mass + rate * (1 - self.mass))
        return ()

    def table(self) -> tf.Tensor:
        """Returns the average effects, `[C, groups]`; 0 before the first."""
        return tf.math.divide_no_nan(self.sums.value, self.mass.value)

    def gains(self, table: tf.Tensor) -> tf.Tensor:
        """Returns the total effect of each class, `[C]`, from the table."""
        return tf.reduce_sum(table, axis=1)

    def credit(self, policy: WeightPolicy) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the credit of the classes, `[C]`, and of the source loss.

        The credit of a class is its gain less the mean gain, in standard
        deviations over the classes observed so far. A class not yet observed
        has credit 0. The source loss is credited with the mean effect of the
        classes under their present weights. Each class counts once, however
        many examples it has.
        """
        table = self.table()
        observed = tf.cast(
            tf.reduce_any(self.mass.value > 0, axis=1), tf.float32
        )
        gains = self.gains(table)
        mean = losses.weighted_mean(gains, observed)
        variance = losses.weighted_mean((gains - mean) ** 2, observed)
        spread = tf.sqrt(variance + 1e-12)
        overall = losses.weighted_mean(
            tf.reduce_sum(table, axis=1), observed * policy.expected_weights()
        )

        def bounded(value):
            return tf.clip_by_value(value / spread, -BOUND, BOUND)

        return observed * bounded(gains - mean), bounded(overall)
