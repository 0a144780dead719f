import keras
import numpy as np
import scipy.special
import tensorflow as tf

from tests import helpers
from tf_transfer.models import distillation

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 1, (24, 8, 8, 1)).astype(np.float32)


def teachers(count=3):
    models = []
    for seed in range(count):
        keras.utils.set_random_seed(seed)
        models.append(helpers.tiny_classifier())
    return models


def test_mean_probabilities_are_those_of_numpy():
    batches = tf.data.Dataset.from_tensor_slices(IMAGES).batch(7)
    models = teachers()
    result = distillation.mean_probabilities(iter(models), batches)
    each = [scipy.special.softmax(model(IMAGES), axis=1) for model in models]
    np.testing.assert_allclose(result, np.mean(each, axis=0), atol=1e-6)


def test_a_student_comes_near_its_teachers():
    batches = tf.data.Dataset.from_tensor_slices(IMAGES).batch(24)
    targets = distillation.mean_probabilities(teachers(), batches)
    student = helpers.tiny_classifier()

    def distance():
        outputs = scipy.special.softmax(student(IMAGES), axis=1)
        return scipy.special.rel_entr(targets, outputs).sum(axis=1).mean()

    before = distance()
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, targets))
    distillation.distil(student, pairs.batch(8).repeat(), 60)
    assert distance() < before / 3
