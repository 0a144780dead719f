"""Random numbers that are a function of seed, step and position alone."""

import tensorflow as tf

_GOLDEN = 0x9E3779B9
_MIXERS = ((16, 0x85EBCA6B), (13, 0xC2B2AE35))


def uniform(
    seed: tf.Tensor | int, step: tf.Tensor | int, positions: tf.Tensor
) -> tf.Tensor:
    """Returns uniform numbers in [0, 1), float32, of the positions' shape.

    TensorFlow's own stateless numbers differ between graph mode and XLA.
    These are the same in both, and on every replica. They come from a 32-bit
    integer hash: the finaliser of MurmurHash3, applied once for the seed and
    once for the step.

    Args:
        seed: any integer; its lowest 32 bits are used.
        step: any integer, likewise.
        positions: integers; each has a number of its own.
    """
    value = tf.cast(positions, tf.uint32)
    for key in (seed, step):
        key = tf.bitwise.bitwise_and(tf.cast(key, tf.int64), 0xFFFFFFFF)
        value = value * tf.constant(_GOLDEN, tf.uint32)
        value = value + tf.cast(key, tf.uint32)
        for shift, factor in _MIXERS:
            value = _fold(value, shift) * tf.constant(factor, tf.uint32)
        value = _fold(value, 16)
    top = tf.bitwise.right_shift(value, tf.constant(8, tf.uint32))
    return tf.cast(top, tf.float32) / 2.0**24


def _fold(value: tf.Tensor, shift: int) -> tf.Tensor:
    shifted = tf.bitwise.right_shift(value, tf.constant(shift, tf.uint32))
    return tf.bitwise.bitwise_xor(value, shifted)


def largest(
    example_weights: tf.Tensor, count: int, seed: int, step: tf.Tensor
) -> tf.Tensor:
    """Chooses the examples with the largest weights; breaks ties at random.

    Args:
        example_weights: not negative, `[B]`.
        count: how many examples to choose, at most B.
        seed: of the order among ties.
        step: of the training; the order among ties is new in each step.

    Returns:
        Indices `[count]` int32.
    """
    ties = uniform(seed, step, tf.range(example_weights.shape[0]))
    order = tf.argsort(ties)
    # Among equal weights, top_k prefers the first.
    _, chosen = tf.math.top_k(tf.gather(example_weights, order), count)
    return tf.gather(order, chosen)
