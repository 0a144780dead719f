"""The data that pass between the phases of an L2TL training step."""

from typing import NamedTuple

import tensorflow as tf


class Actions(NamedTuple):
    """The weights that the policy chooses for one step.

    Attributes:
        weights: of the source classes, `[C]`.
        scale: of the source loss, scalar.
        levels: indices of the drawn levels, `[1 + C]` int32, that of the scale
            first; None for a fixed policy.
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
        validation: the validation images, with their features after the step.
        reward: the metric on the validation images, or its improvement.
        validation_gradients: of the validation images, by the encoder's
            variables; only `GradientCredit` computes them.
    """

    actions: Actions
    candidates: tf.Tensor
    source: Batch
    validation: Batch
    reward: tf.Tensor
    validation_gradients: list[tf.Tensor] | None = None
