"""Endless shuffled indices, a function of seed and position."""

import tensorflow as tf

from tf_transfer.utils.checks import _check_seed


def shuffled(
    count: int, *, batch_size: int, seed: int, start: int = 0
) -> tf.data.Dataset:
    """Yields batches of the indices of a source, shuffled anew every epoch.

    Args:
        count: number of examples N.
        batch_size: indices per batch; batches run across epochs.
        seed: of the orders.
        start: position of the first batch, to continue a run.

    Returns:
        An endless dataset of int64 indices `[batch_size]`, a function of seed
        and position alone.
    """
    _check_seed(seed)

    def pick(position):
        place = position * batch_size + tf.range(batch_size, dtype=tf.int64)
        epoch = place // count
        same = tf.fill([batch_size], tf.cast(seed, tf.int64))
        key = tf.stack([same, epoch, tf.zeros_like(epoch)], axis=1)
        # index_shuffle pads the wrong axis of one seed per index.
        return tf.raw_ops.RandomIndexShuffle(
            index=place % count,
            seed=key,
            max_index=tf.constant(count - 1, tf.int64),
        )

    return tf.data.Dataset.counter(start).map(pick)
