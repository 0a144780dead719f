import numpy as np
import onnxruntime

from tests import helpers
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
