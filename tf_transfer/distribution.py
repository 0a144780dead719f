"""Running models over datasets under any tf.distribute strategy."""

import functools
import weakref
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError


@functools.cache
def strategy(name: str) -> tf.distribute.Strategy:
    """Returns a distribution strategy by name, the same one each time.

    Two mirrored strategies in one process would mix up their all-reduces.

    Args:
        name: `"none"` for one device, or `"mirrored"` for all local GPUs
            (all logical CPUs where there is no GPU).
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = tf.config.list_logical_devices(kind)
        return tf.distribute.MirroredStrategy([d.name for d in devices])
    raise InputError(
        "Unknown distribution strategy; choose none or mirrored. "
        f"Received: {name!r}"
    )


def stream_outputs(
    model: keras.Model, dataset: tf.data.Dataset
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields a model's outputs batch by batch, in inference mode.

    Unlike `predict`, nothing accumulates: memory is that of one batch. The
    batches are split over the devices of the model's strategy; the order
    inside a batch is kept.

    Args:
        model: any Keras model with one output.
        dataset: batches of images, or of `(images, labels)`.

    Yields:
        Outputs `[B, ...]` and labels `[B]`, or None without labels.
    """
    scope = model.distribute_strategy
    forward = _forward(model)

    def local(value) -> np.ndarray:
        return np.concatenate(
            [part.numpy() for part in scope.experimental_local_results(value)]
        )

    for batch in scope.experimental_distribute_dataset(dataset):
        images, *rest = batch if isinstance(batch, tuple) else (batch,)
        yield local(forward(images)), local(rest[0]) if rest else None


_FORWARDS = weakref.WeakKeyDictionary()


def _forward(model: keras.Model) -> Callable:
    """Returns the model's traced inference step, traced once per model."""
    if model not in _FORWARDS:
        reference = weakref.ref(model)

        @tf.function(reduce_retracing=True)
        def forward(images):
            return reference().distribute_strategy.run(
                lambda x: reference()(x, training=False), (images,)
            )

        _FORWARDS[model] = forward
    return _FORWARDS[model]


def total(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a tensor over the replicas of the running step."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gathered(value: tf.Tensor) -> tf.Tensor:
    """Returns the rows of a tensor `[B, ...]` of all replicas of a step."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_gather(value, axis=0)


def num_replicas() -> int:
    """Returns the number of replicas of the running step."""
    return tf.distribute.get_strategy().num_replicas_in_sync
