"""Endless batches of shuffled indices, which repeat by seed and position."""

import tensorflow as tf

from tf_transfer.utils import checks


def shuffled(
    count: int, *, batch_size: int, seed: int, start: int = 0
) -> tf.data.Dataset:
    """Returns batches of indices, in a new random order every epoch.

    Args:
        count: number of examples N.
        batch_size: indices per batch; a batch may span two epochs.
        seed: of the orders.
        start: position of the first batch, to continue a run.

    Returns:
        An endless dataset of int64 indices `[batch_size]`. A batch depends on
        the seed and its position alone.

    Raises:
        InputError: if `seed` is not an integer of at least 0.
    """
    checks.check_seed(seed)

    def batch_at(position):
        places = position * batch_size + tf.range(batch_size, dtype=tf.int64)
        epochs = places // count
        seeds = tf.fill([batch_size], tf.cast(seed, tf.int64))
        keys = tf.stack([seeds, epochs, tf.zeros_like(epochs)], axis=1)
        # Not tf.random's index_shuffle: with one seed per index, it pads the
        # wrong axis.
        return tf.raw_ops.RandomIndexShuffle(
            index=places % count,
            seed=keys,
            max_index=tf.constant(count - 1, tf.int64),
        )

    return tf.data.Dataset.counter(start).map(batch_at)
