"""One model that learns from several (Hinton et al. 2015)."""

import math
from collections.abc import Iterable

import keras
import numpy as np
import scipy.special
import tensorflow as tf

from tf_transfer.models.inference import stream_outputs

_RATE = 0.02
_TOGETHER = 10  # steps that are taken by one call


def mean_probabilities(
    models: Iterable[keras.Model], images: tf.data.Dataset
) -> np.ndarray:
    """Returns the mean of some classifiers' probabilities, `[N, C]`.

    Args:
        models: from images to logits `[B, C]`; one is needed at a time.
        images: batches, in an order that stays.
    """
    total, count = 0.0, 0
    for model in models:
        rows = [rows for rows, _ in stream_outputs(model, images)]
        logits = np.concatenate(rows).astype(np.float64)
        total, count = total + scipy.special.softmax(logits, axis=1), count + 1
    return (total / count).astype(np.float32)


def distil(student: keras.Model, batches: tf.data.Dataset, steps: int) -> None:
    """Trains a classifier by probabilities that others give to images.

    The loss is the cross entropy of Hinton et al. 2015, section 2, at
    temperature 1, minimised by Nesterov SGD of momentum .9, whose rate falls
    from .02 along a half cosine.

    Args:
        student: from images to logits `[B, C]`. It is trained in place, and
            compiled for that.
        batches: endless, of images and probabilities `[B, C]`.
        steps: how long to train.
    """
    student.compile(
        keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(_RATE, steps),
            momentum=0.9,
            nesterov=True,
        ),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        steps_per_execution=math.gcd(steps, _TOGETHER),
    )
    student.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
