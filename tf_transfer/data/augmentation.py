"""Random changes of training images, by Keras' own preprocessing layers."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.utils import tf_data

KINDS = ("none", "flip_crop", "randaugment")
_SHIFT = 1 / 8  # of a side, as 4 of 32 pixels
_OPERATIONS, _STRENGTH = 2, 0.3


def augment(
    batches: tf.data.Dataset,
    kind: str,
    seed: int | tuple[int, ...],
    start: int = 0,
) -> tf.data.Dataset:
    """Changes the images of training batches at random.

    A batch is changed by its number alone, so that an interrupted training
    continues with the same images.

    Args:
        batches: of images `[B, H, W, channels]` in 0..1, labels and perhaps
            more.
        kind: `none`; `flip_crop`, which mirrors every other image and shifts
            all by up to an eighth; or `randaugment` (Cubuk et al. 2020,
            1909.13719), two operations for each batch after a `flip_crop`.
        seed: of the random numbers; one or several integers.
        start: the number of the first batch.

    Example:

    >>> ones = tf.data.Dataset.from_tensors((tf.ones([2, 8, 8, 1]), [0, 1]))
    >>> [(images, labels)] = augment(ones, "flip_crop", seed=[0])
    >>> images.shape
    TensorShape([2, 8, 8, 1])
    """
    if kind == "none":
        return batches
    seeds = _BatchSeeds(seed)
    layers = _layers(kind, seeds)

    def change(number, batch):
        images, *rest = batch
        seeds.begin(number)
        for layer in layers:
            images = layer(images, training=True)
        images.set_shape(batch[0].shape)
        return (tf.clip_by_value(images, 0, 1), *rest)

    numbered = batches.enumerate(start)
    return tf_data.quiet(numbered.map(change).prefetch(2))


class _BatchSeeds(keras.random.SeedGenerator):
    """Gives seeds that follow from the number of a batch, and keeps no state.

    Args:
        seed: one or several integers; others give other seeds.
    """

    def __init__(self, seed: Sequence[int]):
        super().__init__(seed=0)
        self._first = seed
        self.begin(tf.constant(0, tf.int64))

    def begin(self, number: tf.Tensor) -> None:
        """Starts the seeds of a batch."""
        self._number, self._given = number, 0

    def next(self, ordered=True):
        self._given += 1
        name = np.random.SeedSequence((*self._first, self._given))
        key = int(name.generate_state(1)[0] >> 1)
        dtype = self.state.dtype
        return tf.stack([tf.constant(key, dtype), tf.cast(self._number, dtype)])


def _layers(kind: str, seeds: _BatchSeeds) -> Sequence[keras.Layer]:
    layers = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(_SHIFT, _SHIFT, fill_mode="reflect"),
    ]
    if kind == "randaugment":
        layers.append(
            keras.layers.RandAugment(
                value_range=(0, 1), num_ops=_OPERATIONS, factor=_STRENGTH
            )
        )
    for layer in layers:
        layer.generator = seeds
    return layers
