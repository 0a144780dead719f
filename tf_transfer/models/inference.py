"""What models say of images, batch by batch."""

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

    Unlike `predict`, nothing accumulates: memory is that of one batch. The
    batches are split over the devices of the model's strategy, of all
    workers; the order inside a batch is kept.

    Args:
        model: any Keras model with one output.
        dataset: batches of images, or of `(images, labels)`.

    Yields:
        Outputs `[B, ...]` and labels `[B]`, or None without labels.

    Raises:
        InputError: for anything but a dataset that ends.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise InputError(
            "Images must come as a tf.data.Dataset of batches. "
            f"Received: {type(dataset).__name__}"
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            "The dataset must end; `take` as many batches as you mean. "
            "Received: a dataset without end"
        )
    scope = model.distribute_strategy
    forward = _forward(model)
    if scope.num_replicas_in_sync == 1:
        for batch in dataset:
            images, *labels = batch if isinstance(batch, tuple) else (batch,)
            (outputs,) = forward((images,))
            yield outputs.numpy(), labels[0].numpy() if labels else None
        return
    placed = dataset.map(_with_places)
    for batch in scope.experimental_distribute_dataset(placed):
        outputs, *rest = (part.numpy() for part in forward(batch))
        order = np.argsort(rest[-1])
        yield outputs[order], rest[0][order] if len(rest) > 1 else None


def as_logits(outputs: np.ndarray, from_logits: bool) -> np.ndarray:
    """Returns logits of a classifier's outputs `[B, C]`.

    Raises:
        InputError: for outputs that are no numbers, or look like what
            `from_logits` says that they are not.
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


def _with_places(images, *labels):
    """Numbers the rows of a batch: several workers return them mixed."""
    places = tf.range(tf.shape(tf.nest.flatten(images)[0])[0])
    return images, *labels[:1], places


_FORWARDS = weakref.WeakKeyDictionary()


def _forward(model: keras.Model) -> Callable:
    """Returns the model's traced inference step, traced once per model."""
    if model not in _FORWARDS:
        # Of a partial, TensorFlow counts the traces for each model alone and
        # does not warn of the many that several models make.
        step = functools.partial(_forward_step, weakref.ref(model))
        _FORWARDS[model] = tf.function(step, reduce_retracing=True)
    return _FORWARDS[model]


def _forward_step(model: weakref.ref, batch: tuple) -> Sequence[tf.Tensor]:
    scope = model().distribute_strategy

    def step(images, *rest):
        outputs = model()(images, training=False)
        return _as_undefined_as(images, outputs), *rest

    parts = scope.run(step, batch)
    if scope.num_replicas_in_sync > 1:
        parts = [scope.gather(part, axis=0) for part in parts]
    return parts


def _as_undefined_as(images, outputs: tf.Tensor) -> tf.Tensor:
    """Returns outputs that are no number where images hold one that is none.

    A rectifier can turn such into zeros, which would pass for a prediction.
    """
    if not (tf.is_tensor(images) and images.dtype.is_floating):
        return outputs
    axes = list(range(1, images.shape.rank))
    # Zeros first: a sum of pixels may be beyond what float16 holds.
    of_each = tf.reduce_sum(0 * images, axes)
    of_each = tf.reshape(of_each, [-1] + [1] * (outputs.shape.rank - 1))
    return outputs + tf.cast(of_each, outputs.dtype)
