import conftest
import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_transfer import export
from tf_transfer.errors import InputError


def test_exports_versions_that_equal_the_model(tmp_path):
    model = conftest.tiny_classifier()
    first = export.export_serving(model, tmp_path / "export")
    second = export.export_serving(model, tmp_path / "export")
    assert [first.name, second.name] == ["1", "2"]
    names = sorted(path.name for path in (tmp_path / "export").iterdir())
    assert names == ["1", "2"]
    serve = tf.saved_model.load(str(first)).signatures["serving_default"]
    for batch in (1, 5):
        images = np.random.default_rng(0).random((batch, 8, 8, 1), np.float32)
        found = serve(images=tf.constant(images))
        expected = keras.ops.softmax(model(images))
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
        np.testing.assert_array_equal(
            found["class_ids"], np.argmax(expected, axis=-1)
        )


def test_refuses_an_unbuilt_model(tmp_path):
    model = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(InputError, match="must be built"):
        export.export_serving(model, tmp_path / "export")
    assert not (tmp_path / "export").exists()
