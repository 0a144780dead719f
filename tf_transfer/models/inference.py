"""Batched inference, on one device or many."""

import functools
import weakref
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError


def stream_outputs(
    model: keras.Model, dataset: tf.data.Dataset
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields a model's outputs batch by batch, in inference mode.

    Unlike `predict`, it holds only one batch in memory. Batches are split
    over the devices of the model's strategy, on all workers; the order of the
    rows does not change.

    Args:
        model: any Keras model with one output.
        dataset: batches of images, or of `(images, labels)`.

    Yields:
        Outputs `[B, ...]` and labels `[B]`, or None without labels.

    Raises:
        InputError: if `dataset` is not a `tf.data.Dataset`, or is infinite.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise InputError(
            "Images must come as a tf.data.Dataset of batches. "
            f"Received: {type(dataset).__name__}"
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            "The dataset must be finite; `take` as many batches as you need. "
            "Received: an infinite dataset"
        )
    scope = model.distribute_strategy
    forward = _forward(model)
    if scope.num_replicas_in_sync == 1:
        for batch in dataset:
            images, *labels = batch if isinstance(batch, tuple) else (batch,)
            (outputs,) = forward((images,))
            yield outputs.numpy(), labels[0].numpy() if labels else None
        return
    numbered = dataset.map(_with_positions)
    for batch in scope.experimental_distribute_dataset(numbered):
        outputs, *rest = (part.numpy() for part in forward(batch))
        order = np.argsort(rest[-1])
        yield outputs[order], rest[0][order] if len(rest) > 1 else None


def as_logits(outputs: np.ndarray, from_logits: bool) -> np.ndarray:
    """Returns a classifier's outputs `[B, C]` as logits.

    Raises:
        InputError: if the outputs are not finite, or do not look like what
            `from_logits` says.
    """
    if not np.isfinite(outputs).all():
        raise InputError(
            "The model's outputs must be finite. "
            f"Received: {outputs[~np.isfinite(outputs)][0]}"
        )
    sums_to_one = np.abs(outputs.sum(axis=-1) - 1).max() < 2e-2  # bfloat16
    probabilities = sums_to_one and outputs.min() >= 0
    if from_logits == probabilities and outputs.shape[-1] > 1:
        kind = "probabilities" if probabilities else "logits"
        raise InputError(
            f"The model seems to return {kind}; set `from_logits` to match. "
            f"Received: {from_logits=}"
        )
    return outputs if from_logits else np.log(np.maximum(outputs, 1e-12))


def _with_positions(images, *labels):
    """Numbers the rows of a batch, as several workers return them mixed."""
    positions = tf.range(tf.shape(tf.nest.flatten(images)[0])[0])
    return images, *labels[:1], positions


_FORWARDS = weakref.WeakKeyDictionary()


def _forward(model: keras.Model) -> Callable:
    """Returns the model's traced inference step, traced once per model."""
    if model not in _FORWARDS:
        # TensorFlow counts the traces of each partial separately. Otherwise
        # it would warn that several models retrace the same function.
        step = functools.partial(_forward_step, weakref.ref(model))
        _FORWARDS[model] = tf.function(step, reduce_retracing=True)
    return _FORWARDS[model]


def _forward_step(model: weakref.ref, batch: tuple) -> Sequence[tf.Tensor]:
    scope = model().distribute_strategy

    def step(images, *rest):
        outputs = model()(images, training=False)
        return _propagate_nan(images, outputs), *rest

    parts = scope.run(step, batch)
    if scope.num_replicas_in_sync > 1:
        parts = [scope.gather(part, axis=0) for part in parts]
    return parts


def _propagate_nan(images, outputs: tf.Tensor) -> tf.Tensor:
    """Sets an output to NaN where its image holds NaN or infinity.

    A rectifier can turn these into zeros, which would pass for a prediction.
    """
    if not (tf.is_tensor(images) and images.dtype.is_floating):
        return outputs
    axes = list(range(1, images.shape.rank))
    # Multiplied by zero first, as a sum of pixels may overflow in float16.
    zeros = tf.reduce_sum(0 * images, axes)  # NaN for such an image
    zeros = tf.reshape(zeros, [-1] + [1] * (outputs.shape.rank - 1))
    return outputs + tf.cast(zeros, outputs.dtype)
