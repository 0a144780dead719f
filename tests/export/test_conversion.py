import importlib.util

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.export import conversion, litert, onnx
from tf_transfer.models import classifiers

NAMES = ["ant", "bee", "cat", "dog"]


@pytest.mark.slow
def test_mixed_precision_is_converted_in_float32(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = helpers.tiny_classifier()
        folder = onnx.export_onnx(model, tmp_path, NAMES, helpers.FRAME)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)
    assert helpers.export_check(folder, NAMES)["largest_difference"] < 1e-4
    plain = helpers.tiny_classifier()
    plain.set_weights(model.get_weights())
    images = helpers.raw_images()[0]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (outputs,) = session.run(None, {"images": images})
    np.testing.assert_allclose(
        outputs, helpers.framed_outputs(plain, images), atol=1e-4
    )


class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", "float16", "int8_from_mixed_bfloat16"]
)
def test_layers_in_half_precision_are_found_inside_models(policy):
    inputs = keras.Input((8, 8, 1))
    statistics = keras.layers.Normalization(mean=[0.5], variance=[0.1])
    with classifiers.precision(policy.removeprefix("int8_from_")):
        dense = keras.layers.Dense(4)
        outputs = dense(Doubled()(keras.layers.Flatten()(statistics(inputs))))
    if policy.startswith("int8"):
        dense.quantize("int8")
    softmax = keras.layers.Softmax()
    model = keras.Sequential([keras.Model(inputs, outputs), softmax])
    copy = conversion.in_float32(model)
    types = {layer.compute_dtype for layer in copy.layers[0].layers}
    assert types == {"float32"}
    images = np.random.default_rng(0).random((3, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(copy(images), model(images), atol=0.05)
    assert conversion.in_float32(copy) is copy


def test_what_cannot_be_copied_in_float32_is_a_sentence():
    with classifiers.precision("mixed_bfloat16"):
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Lambda(lambda x: 2 * x),
                keras.layers.Flatten(),
                keras.layers.Dense(3),
            ]
        )
    with pytest.raises(InputError, match=r"copy in float32.*Lambda"):
        conversion.in_float32(model)


@pytest.mark.parametrize(
    ("write", "package"),
    [
        (litert.export_tflite, "ai_edge_litert"),
        (onnx.export_onnx, "tf2onnx"),
    ],
)
def test_a_missing_runtime_is_a_sentence(tmp_path, monkeypatch, write, package):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == package else real(name),
    )
    with pytest.raises(InputError, match=rf"{package}; run `pip install.*Rec"):
        write(helpers.tiny_classifier(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_converted_is_a_sentence(tmp_path):
    @tf.function(autograph=False)
    def through_strings(images):
        strings = tf.strings.as_string(images)
        return tf.strings.to_number(tf.strings.lower(strings))

    model = helpers.tiny_classifier()
    for write in (litert.export_tflite, onnx.export_onnx):
        with pytest.raises(InputError, match=r"cannot be converted.*Received"):
            write(model, tmp_path / "out", preprocessing=through_strings)
        assert not (tmp_path / "out").exists()


def test_a_runtime_that_disagrees_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(
        onnx, "_load", lambda _: lambda x: np.zeros((len(x), 4))
    )
    with pytest.raises(InputError, match="must predict as Keras does"):
        onnx.export_onnx(helpers.tiny_classifier(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
