import keras
import numpy as np
import onnxruntime
import pytest

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.export import onnx

NAMES = ["ant", "bee", "cat", "dog"]


def test_onnx_runtime_agrees_on_raw_images_of_any_size(tmp_path):
    model = helpers.tiny_classifier()
    folder = onnx.export_onnx(model, tmp_path, NAMES, helpers.FRAME)
    assert helpers.export_check(folder, NAMES)["largest_difference"] < 1e-4
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (tensor,) = session.get_inputs()
    assert tensor.shape == ["batch", "height", "width", "channels"]
    for images in helpers.raw_images():
        (outputs,) = session.run(["probabilities"], {"images": images})
        np.testing.assert_allclose(
            outputs, helpers.framed_outputs(model, images), atol=1e-4
        )


FACTORS = np.arange(64, dtype=np.float32).reshape(8, 8, 1) / 64


def scaled():
    """A layer that divides by a constant of its own."""
    constant = keras.ops.convert_to_tensor(FACTORS + 1)
    return keras.layers.Lambda(lambda images: images / constant)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.Normalization(mean=[0.4], variance=[0.2]),
        lambda: keras.layers.Normalization((1, 2, 3), FACTORS, FACTORS + 1),
        lambda: keras.layers.Rescaling(1 / 255),
        scaled,
    ],
    ids=["mean", "means", "bytes", "constant"],
)
def test_captured_constants_are_converted(tmp_path, layer):
    inputs = keras.Input((8, 8, 1))
    values = keras.layers.Conv2D(3, 3)(layer()(inputs))
    outputs = keras.layers.Dense(4)(keras.layers.Flatten()(values))
    model = keras.Model(inputs, outputs)
    folder = onnx.export_onnx(model, tmp_path, NAMES)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert [tensor.name for tensor in session.get_inputs()] == ["images"]
    images = np.random.default_rng(0).random((5, 8, 8, 1)).astype(np.float32)
    if isinstance(model.layers[1], keras.layers.Rescaling):
        images *= 255
    (result,) = session.run(["probabilities"], {"images": images})
    expected = keras.ops.softmax(model(images))
    np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: keras.layers.Discretization(bin_boundaries=[0.5]), "Bucket"),
        (lambda: keras.layers.IntegerLookup(vocabulary=[1]), "LookupTable"),
    ],
)
def test_operations_that_onnx_lacks_are_named(tmp_path, layer, name):
    inputs = keras.Input((8, 8, 1))
    values = layer()(keras.ops.cast(inputs, "int64"))
    values = keras.layers.Flatten()(keras.ops.cast(values, "float32"))
    model = keras.Model(inputs, keras.layers.Dense(4)(values))
    with pytest.raises(InputError, match=f"ONNX lacks.*{name}"):
        onnx.export_onnx(model, tmp_path / "out", NAMES)
    assert not (tmp_path / "out").exists()
