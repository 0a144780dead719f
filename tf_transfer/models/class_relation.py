"""How the classes of two data sets are related, as a classifier sees it."""

import keras
import numpy as np
import scipy.special
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.models.inference import as_logits, stream_outputs
from tf_transfer.utils import checks


def class_relation(
    model: keras.Model,
    dataset: tf.data.Dataset,
    num_classes: int,
    from_logits: bool = True,
) -> np.ndarray:
    """Returns the mean prediction of a model for the images of each class.

    A source model on labelled target images tells which source classes each
    target class looks like, p(y_s | y_t) (You et al. 2020, Co-Tuning, section
    3.2): start a target head from it by `replace_head(relation=...)`. A
    target model on the source tells which target classes each source class
    looks like: `L2TL(relabel=True)` learns from that by `relate`.

    Args:
        model: a classifier, from images to `[B, M]`.
        dataset: batches of images and class numbers.
        num_classes: number of classes N of the dataset.
        from_logits: whether the model returns logits or probabilities.

    Returns:
        `[N, M]`, rows of sum 1; equal shares for a class without images.

    Raises:
        InputError: unless there are classes and images, and the labels are
            their numbers; for outputs that are not finite, or not what
            `from_logits` says.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> images = np.log([[.8, .2], [.6, .4], [.1, .9]])
    >>> dataset = tf.data.Dataset.from_tensors((images, [0, 0, 1]))
    >>> class_relation(model, dataset, 2).round(2).tolist()
    [[0.7, 0.3], [0.1, 0.9]]
    """
    checks.check_class_count(num_classes)
    shares = None
    for outputs, labels in stream_outputs(model, dataset):
        if labels is None:
            raise InputError(
                "The dataset must yield images with class numbers. "
                "Received: images alone"
            )
        checks.check_labels(labels, num_classes)
        logits = as_logits(outputs, from_logits)
        if shares is None:
            shares = np.zeros((num_classes, logits.shape[-1]))
        np.add.at(shares, labels, scipy.special.softmax(logits, axis=-1))
    if shares is None:
        raise InputError("The dataset has no images. Received: 0 images")
    counts = shares.sum(axis=1, keepdims=True)
    equal = np.full_like(shares, 1 / shares.shape[1])
    return np.divide(shares, counts, out=equal, where=counts > 0)
