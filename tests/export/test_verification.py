import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.export import signatures, verification

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1))
PIXELS = PIXELS.astype(np.uint8)


@pytest.mark.parametrize("scale", [1 / 255, 1 / 127.5])
def test_a_model_of_bytes_serves_bytes(tmp_path, scale):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(scale),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    version = tt.export_serving(model, tmp_path)
    functions = tf.saved_model.load(str(version)).signatures
    floats = PIXELS.astype(np.float32)
    expected = keras.ops.softmax(model(floats))
    files = tf.stack([tf.io.encode_png(image) for image in PIXELS])
    for name, inputs in {
        "serving_default": floats,
        "serve_uint8": PIXELS,
        "serve_bytes": files,
    }.items():
        outputs = functions[name](tf.constant(inputs))["probabilities"]
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_two_heads_are_exported_without_features(tmp_path):
    inputs = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(inputs)
    heads = [keras.layers.Dense(3, activation="softmax")(flat) for _ in "ab"]
    model = keras.Model(inputs, keras.layers.Average()(heads))
    version = tt.export_serving(model, tmp_path)
    functions = tf.saved_model.load(str(version)).signatures
    assert "features" not in functions
    images = PIXELS / np.float32(255)
    outputs = functions["serving_default"](tf.constant(images))
    np.testing.assert_allclose(
        outputs["probabilities"], model(images), atol=1e-5
    )


def test_a_saved_model_that_differs_is_refused(tmp_path):
    model = helpers.tiny_classifier()
    served = signatures.ServedModel(model, list("abcd"))
    signatures.save(tmp_path, served.signatures)
    verification.check_saved(tmp_path, served)
    head = model.layers[-1]
    head.set_weights([w + np.array([5.0, 0, 0, 0]) for w in head.get_weights()])
    with pytest.raises(InputError, match="serving_default must predict"):
        verification.check_saved(tmp_path, served)


def test_an_undefined_output_is_the_same_as_keras(tmp_path):
    model = helpers.tiny_classifier()
    inputs = keras.Input((8, 8, 1))
    nothing = keras.ops.log(inputs - 0.5)  # NaN for dark pixels
    outer = keras.Model(inputs, model(nothing))
    version = tt.export_serving(outer, tmp_path)
    functions = tf.saved_model.load(str(version)).signatures
    images = np.stack([np.full((8, 8, 1), v, np.float32) for v in (0.2, 0.8)])
    outputs = functions["serving_default"](tf.constant(images))
    probabilities = outputs["probabilities"].numpy()
    expected = keras.ops.softmax(outer(images))[1]
    np.testing.assert_allclose(probabilities[1], expected, atol=1e-5)


def test_a_dict_of_outputs_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 1))
    outputs = {"logits": helpers.tiny_classifier()(inputs)}
    with pytest.raises(InputError, match=r"must return logits.*'logits'"):
        tt.export_serving(keras.Model(inputs, outputs), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "spec"),
    [
        ("features", tf.TensorSpec([None, 8, 8, 1], tf.float32, "images")),
        ("serve_uint8", tf.TensorSpec([None, 8, 8, 1], tf.uint8, "images")),
        ("serve_bytes", tf.TensorSpec([None], tf.string, "image_bytes")),
    ],
)
@pytest.mark.slow
def test_a_wrong_signature_leaves_nothing(tmp_path, monkeypatch, wrong, spec):
    real = signatures.ServedModel.signatures.func

    def shifted(self):
        functions = dict(real(self))
        serve = functions[wrong]

        @tf.function(input_signature=[spec])
        def half(values):
            return tf.nest.map_structure(
                lambda x: x if x.dtype == tf.string else x / 2, serve(values)
            )

        functions[wrong] = half.get_concrete_function()
        return functions

    monkeypatch.setattr(signatures.ServedModel, "signatures", property(shifted))
    with pytest.raises(InputError, match=f"saved signature {wrong} must"):
        tt.export_serving(helpers.tiny_classifier(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_noise_that_is_not_taken_is_not_compared(tmp_path):
    model = helpers.tiny_classifier()

    def strict(images):
        return tf.ensure_shape(images, [None, 8, 8, 1]) / 255

    served = signatures.ServedModel(model, list("abcd"), strict)
    taken = list(verification._pixels(served))
    assert [images.shape[1:3] for images in taken] == [(30, 40)] * 2 + [
        (8, 8)
    ] * 2
    assert taken[1].max() == 1

    def none(images):
        raise ValueError

    refusing = signatures.ServedModel(model, list("abcd"), none)
    verification.check_saved(tmp_path / "nothing", refusing)
