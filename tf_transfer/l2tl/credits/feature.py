"""The feature credit: effects on the encoder's output."""

import keras
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl import losses
from tf_transfer.l2tl.credits.base import ClassCredit
from tf_transfer.l2tl.types import Batch, Transition
from tf_transfer.training.distribution import gathered


@keras.saving.register_keras_serializable("tf_transfer")
class FeatureCredit(ClassCredit):
    """Credits a class for the target classes it helps, by its features.

    The effects are `losses.feature_effects`, averaged by target class. Only
    positive effects count: where a source class harms a target class, other
    source classes make up for it.

    The credit uses the features and gradients of the training pass, so it
    needs no further pass through the encoder.

    Args:
        sharpness: how similar two images must be to affect each other.
        decay: weight of the past per example of a class.

    Raises:
        InputError: if `sharpness` is negative.

    Example:

    >>> FeatureCredit(sharpness=5.0).get_config()["sharpness"]
    5.0
    """

    def __init__(self, sharpness: float = 10.0, **kwargs):
        super().__init__(**kwargs)
        if not sharpness >= 0:
            raise InputError(
                "`sharpness` must not be negative. "
                f"Received: sharpness={sharpness}"
            )
        self.sharpness = float(sharpness)

    def get_config(self) -> dict:
        return super().get_config() | {"sharpness": self.sharpness}

    def gains(self, table: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.nn.relu(table), axis=1)

    def effects(
        self, model, transition: Transition
    ) -> tuple[tf.Tensor, tf.Tensor]:
        source, validation = transition.source, transition.validation
        gradients = gathered(_gradients(model, validation))
        effects = losses.feature_effects(
            (source.features, transition.source_gradients),
            (gathered(validation.features), gradients),
            self.sharpness,
        )
        labels = gathered(validation.labels)
        groups = tf.one_hot(labels, model.num_target_classes)
        count = tf.reduce_sum(groups, axis=0)
        means = tf.math.divide_no_nan(tf.matmul(effects, groups), count)
        return means, tf.cast(count > 0, tf.float32)


def _gradients(model, batch: Batch) -> tf.Tensor:
    """Returns the gradient of each target example's loss by its features."""
    with tf.GradientTape() as tape:
        tape.watch(batch.features)
        loss = tf.reduce_sum(model.target_losses(batch.labels, batch.features))
    return tape.gradient(loss, batch.features)
