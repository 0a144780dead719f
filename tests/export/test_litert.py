import warnings

import keras
import numpy as np
import pytest

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.export import litert

NAMES = ["ant", "bee", "cat", "dog"]


def run(path, images):
    """Returns the outputs of a `.tflite` file by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the runtime's own imports
        from ai_edge_litert.interpreter import Interpreter
    runner = Interpreter(model_path=str(path)).get_signature_runner()
    return runner(images=images)


@pytest.mark.slow
def test_litert_agrees_on_raw_images_of_any_size(tmp_path):
    model = helpers.tiny_classifier()
    folder = litert.export_tflite(model, tmp_path, NAMES, helpers.FRAME)
    assert helpers.export_check(folder, NAMES)["largest_difference"] < 1e-4
    for images in helpers.raw_images():
        outputs = run(folder / "model.tflite", images)
        np.testing.assert_allclose(
            outputs["probabilities"],
            helpers.framed_outputs(model, images),
            atol=1e-4,
        )


@pytest.mark.slow
def test_litert_in_int8(tmp_path):
    data = helpers.blobs()
    model = helpers.tiny_classifier()
    model.compile(keras.optimizers.Adam(0.01), helpers.LOSS)
    model.fit(data.batches(16), epochs=3, verbose=0, shuffle=False)
    sizes = {}
    for images in (None, data.images):
        folder = litert.export_tflite(
            model, tmp_path, NAMES, helpers.FRAME, representative=images
        )
        sizes[images is None] = (folder / "model.tflite").stat().st_size
    check = helpers.export_check(folder, NAMES)
    assert check["same_class"] > 0.9
    assert check["largest_difference"] < 0.2
    assert sizes[False] < 0.8 * sizes[True]
    raw = helpers.raw_images()[0]
    prepared = run(folder / "preprocessing.tflite", raw)["prepared"]
    np.testing.assert_allclose(prepared, helpers.FRAME(raw) / 255, atol=1e-6)
    outputs = run(folder / "model.tflite", prepared)
    np.testing.assert_allclose(
        outputs["probabilities"], helpers.framed_outputs(model, raw), atol=0.2
    )


@pytest.mark.parametrize(
    "images", [np.zeros((0, 8, 8, 1)), np.zeros((3, 9, 9, 1)), [1, 2]]
)
def test_refuses_representative_images_of_another_shape(tmp_path, images):
    with pytest.raises(InputError, match=r"`representative`.*Received: shape"):
        litert.export_tflite(
            helpers.tiny_classifier(), tmp_path / "out", representative=images
        )
    assert not (tmp_path / "out").exists()
