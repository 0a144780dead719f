"""Class shares, normalised class weights, and the weights of examples."""

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils import checks


def source_prior(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the share of every class among the source labels.

    Args:
        labels: class numbers, `[N]` integers in `[0, num_classes)`.
        num_classes: the number of source classes C.

    Returns:
        P_s, `[C]` float64, sum 1. A class without examples has share 0.

    Raises:
        InputError: if there are no labels or one is out of range.

    Example:

    >>> source_prior(np.array([0, 0, 1, 1]), 3).tolist()
    [0.5, 0.5, 0.0]
    """
    checks.check_labels(labels, num_classes)
    counts = np.bincount(labels, minlength=num_classes)
    return counts / counts.sum()


def normalise(weights: np.ndarray, source_prior: np.ndarray) -> np.ndarray:
    """Scales weights `[C]` to mean 1 under the source prior `[C]`.

    Raises:
        InputError: if the lengths differ, a weight is negative or not
            finite, or all weights of classes with examples are zero.
    """
    weights = checks.check_weights(weights, len(source_prior))
    mean = float(weights @ source_prior)
    if mean == 0:
        raise InputError(
            "Importance weights must not all be zero. "
            f"Received: {len(weights)} zeros on the classes with examples"
        )
    return weights / mean


def as_array(class_weights):
    """Returns a list as an array; leaves tensors and variables alone.

    >>> as_array([2, 0]).dtype.name
    'float32'
    """
    if isinstance(class_weights, (list, tuple)):
        return checks.check_weights(class_weights).astype(np.float32)
    return class_weights


def weight_of(class_weights, labels):
    """Looks up the weight of every label, in TensorFlow operations.

    Args:
        class_weights: a tensor or a variable, `[C]`.
        labels: class numbers, of any shape.

    Returns:
        A tensor of the labels' shape. Where a label is out of range, it
        raises InvalidArgumentError when it runs.
    """
    # Here, so that the functions of NumPy alone load no TensorFlow.
    import tensorflow as tf

    num_classes = class_weights.shape[0]
    labels = tf.cast(labels, tf.int64)
    inside = tf.reduce_all((labels >= 0) & (labels < num_classes))
    message = f"Source labels must lie in [0, {num_classes}). Received:"
    # Without the dependency the look-up may fail first, less clearly.
    with tf.control_dependencies(
        [tf.debugging.Assert(inside, [message, labels])]
    ):
        return tf.gather(class_weights, labels)
