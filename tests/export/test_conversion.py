import importlib.util
import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.export import litert, onnx

FRAME = tt.Frame(8, 1, tt.Appearance(255.0, 0.0, 0.3))
NAMES = ["ant", "bee", "cat", "dog"]


def raw_images():
    """Raw images of differing sizes and channels, float32 in 0..255."""
    rng = np.random.default_rng(0)
    shapes = (1, 28, 28, 3), (5, 9, 40, 1), (64, 8, 8, 4)
    return [rng.integers(0, 256, s).astype(np.float32) for s in shapes]


def expected(model, images):
    ready = FRAME(images).numpy() / np.float32(255)
    return keras.ops.softmax(model(ready)).numpy()


def described(folder):
    names = json.loads((folder / "class_names.json").read_text())
    assert names == NAMES
    return json.loads((folder / "provenance.json").read_text())["check"]


def lite(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the runtime's own imports
        from ai_edge_litert.interpreter import Interpreter
    return Interpreter(model_path=str(path)).get_signature_runner()


def test_litert_agrees_on_raw_images_of_any_size(tmp_path):
    model = helpers.tiny_classifier()
    folder = litert.export_tflite(model, tmp_path, NAMES, FRAME)
    assert described(folder)["largest_difference"] < 1e-4
    run = lite(folder / "model.tflite")
    for images in raw_images():
        found = run(images=images)["probabilities"]
        np.testing.assert_allclose(found, expected(model, images), atol=1e-4)


@pytest.mark.slow
def test_litert_in_int8(tmp_path):
    data = helpers.blobs()
    model = helpers.tiny_classifier()
    model.compile(keras.optimizers.Adam(0.01), helpers.LOSS)
    model.fit(data.batches(16), epochs=3, verbose=0, shuffle=False)
    sizes = {}
    for images in (None, data.images):
        folder = litert.export_tflite(
            model, tmp_path, NAMES, FRAME, representative=images
        )
        sizes[images is None] = (folder / "model.tflite").stat().st_size
    check = described(folder)
    assert check["same_class"] > 0.9
    assert check["largest_difference"] < 0.2
    assert sizes[False] < 0.8 * sizes[True]
    raw = raw_images()[0]
    prepared = lite(folder / "preprocessing.tflite")(images=raw)["prepared"]
    np.testing.assert_allclose(prepared, FRAME(raw) / 255, atol=1e-6)
    found = lite(folder / "model.tflite")(images=prepared)["probabilities"]
    np.testing.assert_allclose(found, expected(model, raw), atol=0.2)


def test_onnx_runtime_agrees_on_raw_images_of_any_size(tmp_path):
    import onnxruntime

    model = helpers.tiny_classifier()
    folder = onnx.export_onnx(model, tmp_path, NAMES, FRAME)
    assert described(folder)["largest_difference"] < 1e-4
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (given,) = session.get_inputs()
    assert given.shape == ["batch", "height", "width", "channels"]
    for images in raw_images():
        (found,) = session.run(["probabilities"], {"images": images})
        np.testing.assert_allclose(found, expected(model, images), atol=1e-4)


@pytest.mark.slow
def test_openvino_reads_the_saved_model(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the runtime's own imports
        import openvino

    model = helpers.tiny_classifier()
    folder = tt.export_serving(model, tmp_path, NAMES, FRAME)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else it may take bfloat16
    compiled = openvino.Core().compile_model(
        openvino.convert_model(str(folder)), "CPU", exact
    )
    for images in raw_images():
        found = compiled({"images": images})
        np.testing.assert_allclose(
            found["probabilities"], expected(model, images), atol=1e-4
        )


@pytest.mark.slow
def test_mixed_precision_is_converted_in_float32(tmp_path):
    kept = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = helpers.tiny_classifier()
        folder = onnx.export_onnx(model, tmp_path, NAMES, FRAME)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(kept)
    assert described(folder)["largest_difference"] < 1e-4
    plain = helpers.tiny_classifier()
    plain.set_weights(model.get_weights())
    images = raw_images()[0]
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (found,) = session.run(None, {"images": images})
    np.testing.assert_allclose(found, expected(plain, images), atol=1e-4)


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
    def odd(images):
        words = tf.strings.as_string(images)
        return tf.strings.to_number(tf.strings.lower(words))

    model = helpers.tiny_classifier()
    for write in (litert.export_tflite, onnx.export_onnx):
        with pytest.raises(InputError, match=r"cannot be converted.*Received"):
            write(model, tmp_path / "out", preprocessing=odd)
        assert not (tmp_path / "out").exists()


def test_a_runtime_that_disagrees_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(
        onnx, "_onnx_run", lambda _: lambda x: np.zeros((len(x), 4))
    )
    with pytest.raises(InputError, match="must predict as Keras does"):
        onnx.export_onnx(helpers.tiny_classifier(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "images", [np.zeros((0, 8, 8, 1)), np.zeros((3, 9, 9, 1)), [1, 2]]
)
def test_refuses_representative_images_of_another_shape(tmp_path, images):
    with pytest.raises(InputError, match=r"`representative`.*Received: shape"):
        litert.export_tflite(
            helpers.tiny_classifier(), tmp_path / "out", representative=images
        )
    assert not (tmp_path / "out").exists()
