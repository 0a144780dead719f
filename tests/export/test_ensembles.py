import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.export import ensembles, saved_model


def classifier(classes=3):
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, kernel_initializer="random_normal"),
        ],
        name="classifier",
    )


def test_probabilities_are_the_mean_of_the_members(tmp_path):
    """By SciPy, from Keras and from the SavedModel."""
    models = [classifier() for _ in range(3)]
    models[0].set_weights([300 * w for w in models[0].get_weights()])
    images = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)
    expected = np.mean(
        [scipy.special.softmax(m(images), axis=1) for m in models], axis=0
    )
    ensemble = ensembles.mean_probabilities(models)
    np.testing.assert_allclose(np.exp(ensemble(images)), expected, atol=1e-6)
    folder = saved_model.export_serving(ensemble, tmp_path, list("abc"))
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    outputs = served(images=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_refuses_none_and_models_of_other_shapes():
    for models in ([], [classifier(), classifier(4)]):
        with pytest.raises(InputError, match=r"same shapes .*Received: "):
            ensembles.mean_probabilities(models)
