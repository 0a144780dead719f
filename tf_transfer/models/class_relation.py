"""Which classes of two data sets look alike to a classifier."""

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

    With a source model and labelled target images, this is p(y_s | y_t): the
    source classes that each target class looks like (You et al. 2020,
    Co-Tuning, section 3.2). `replace_head(relation=...)` starts a target head
    from it. With a target model and the source, it is the target classes that
    each source class looks like, from which `L2TL(relabel=True)` learns; see
    `L2TL.relate`.

    Args:
        model: a classifier, from images to `[B, M]`.
        dataset: batches of images and class numbers.
        num_classes: number of classes N of the dataset.
        from_logits: whether the model returns logits or probabilities.

    Returns:
        `[N, M]`, whose rows sum to 1. The row of a class without images is
        uniform.

    Raises:
        InputError: if there are no classes or no images; if a label is not a
            class number; if the outputs are not finite, or do not match
            `from_logits`.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> images = np.log([[.8, .2], [.6, .4], [.1, .9]])
    >>> dataset = tf.data.Dataset.from_tensors((images, [0, 0, 1]))
    >>> class_relation(model, dataset, 2).round(2).tolist()
    [[0.7, 0.3], [0.1, 0.9]]
    """
    checks.check_class_count(num_classes)
    sums = None
    for outputs, labels in stream_outputs(model, dataset):
        if labels is None:
            raise InputError(
                "The dataset must yield images with class numbers. "
                "Received: images alone"
            )
        checks.check_labels(labels, num_classes)
        logits = as_logits(outputs, from_logits)
        if sums is None:
            sums = np.zeros((num_classes, logits.shape[-1]))
        np.add.at(sums, labels, scipy.special.softmax(logits, axis=-1))
    if sums is None:
        raise InputError("The dataset has no images. Received: 0 images")
    counts = sums.sum(axis=1, keepdims=True)
    uniform = np.full_like(sums, 1 / sums.shape[1])
    return np.divide(sums, counts, out=uniform, where=counts > 0)
