"""What a training step of L2TL does, and what it shows."""

from typing import NamedTuple

import tensorflow as tf


class Actions(NamedTuple):
    """What the policy does in one step.

    Attributes:
        weights: of the source classes, `[C]`.
        scale: of the source loss, scalar.
        levels: the drawn levels, `[1 + C]` int32, of the scale first; None of
            a fixed policy.
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
    """What one step has shown.

    Attributes:
        actions: that the policy took.
        candidates: labels of the source examples from which those to train
            on were selected, `[M B]`.
        source: the source examples trained on, and their features then.
        validation: the validation images, and their features after it.
        reward: the metric on the validation images.
        slope: what else `look` found: the gradients of `GradientCredit`.
    """

    actions: Actions
    candidates: tf.Tensor
    source: Batch
    validation: Batch
    reward: tf.Tensor
    slope: list[tf.Tensor] | None = None
