"""The data that pass between the phases of an L2TL training step."""

from typing import NamedTuple

import tensorflow as tf


class Actions(NamedTuple):
    """The weights that the policy chooses for one step.

    Attributes:
        weights: of all source classes, `[C]`, or of those asked for.
        scale: of the source loss, scalar.
        levels: indices of the drawn levels, int32: that of the scale, then
            those of the weights; None for a fixed policy.
    """

    weights: tf.Tensor
    scale: tf.Tensor
    levels: tf.Tensor | None = None


class Batch(NamedTuple):
    """Labelled images, `[B, ...]` and `[B]`, and their features `[B, D]`."""

    images: tf.Tensor
    labels: tf.Tensor
    features: tf.Tensor


class Transition(NamedTuple):
    """One training step, as a credit sees it.

    Attributes:
        actions: the policy's actions.
        candidates: labels of the source examples from which those to train
            on were selected, `[M B]`.
        source: the source examples trained on, with the features of the
            training pass.
        source_gradients: of the loss of each of these, by its features,
            `[B, D]`.
        validation: the validation images, with their features after the step.
        reward: the metric on the validation images, or its improvement.
        validation_gradients: of the validation images, by the encoder's
            variables; only `GradientCredit` computes them.
    """

    actions: Actions
    candidates: tf.Tensor
    source: Batch
    source_gradients: tf.Tensor
    validation: Batch
    reward: tf.Tensor
    validation_gradients: list[tf.Tensor] | None = None


def with_wide_labels(data):
    """Returns the data of a step, with integer labels as int32 or int64.

    TensorFlow has few operations for the other integer types.

    Args:
        data: a tuple of images, labels and sample weights, or a dict of them.
    """
    if isinstance(data, dict):
        return {key: with_wide_labels(value) for key, value in data.items()}
    if not isinstance(data, (tuple, list)) or len(data) < 2:
        return data
    images, labels, *rest = data
    labels = tf.convert_to_tensor(labels)
    if labels.dtype.is_integer and labels.dtype not in (tf.int32, tf.int64):
        labels = tf.cast(labels, tf.int64)
    return (images, labels, *rest)
