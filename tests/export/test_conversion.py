import importlib.util

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.export import litert, onnx

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
