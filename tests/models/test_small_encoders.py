import keras
import numpy as np
import pytest

import tf_transfer as tt
from tf_transfer.errors import InputError
from tf_transfer.models.small_encoders import StandardizedConv2D, small_encoder


def test_refuses():
    with pytest.raises(InputError, match="multiple of 4"):
        small_encoder((8, 8, 1), width=6)
    with pytest.raises(InputError, match=r"one of flat, pooled.*'round'"):
        small_encoder((8, 8, 1), form="round")


@pytest.mark.parametrize("strides", [1, 2])
def test_it_is_a_convolution_by_the_standardised_kernel(strides):
    """Right values come from NumPy and from Keras' own convolution."""
    images = np.random.default_rng(0).normal(size=(2, 7, 6, 3))
    layer = StandardizedConv2D(4, strides)
    images = images.astype(np.float32)
    outputs = layer(images)
    kernel, gain, bias = (np.array(w) for w in layer.weights)
    assert (kernel.shape, bias.tolist()) == ((27, 4), [0] * 4)
    np.testing.assert_allclose(gain, np.sqrt(2), rtol=1e-6)
    layer.gain.assign([1.0, 2.0, 3.0, 4.0])
    layer.bias.assign([0.0, 1.0, 0.0, -1.0])
    centred = kernel - kernel.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=0)
    plain = keras.layers.Conv2D(4, 3, strides, padding="same")
    plain.build(images.shape)
    plain.set_weights([(unit * [1, 2, 3, 4]).reshape(3, 3, 3, 4), layer.bias])
    np.testing.assert_allclose(layer(images), plain(images), atol=1e-3)
    assert outputs.shape == layer.compute_output_shape(images.shape)


def test_any_part_of_an_image_gives_the_pooled_form_something_to_learn():
    encoder = small_encoder((16, 16, 1), width=4, form="pooled")
    images = np.random.default_rng(0).random((3, 16, 16, 1), np.float32)
    alone = [encoder(image[None])[0] for image in images]
    np.testing.assert_allclose(encoder(images), alone, atol=1e-6)
    assert np.std(alone, axis=0).max() > 1e-3


def test_a_saved_one_is_the_same_when_loaded(tmp_path):
    model = tt.classifier(small_encoder((9, 8, 3), 4, "pooled"), 3)
    images = np.random.default_rng(0).random((2, 9, 8, 3), np.float32)
    expected = model(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), expected)
