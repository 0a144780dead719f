import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.models import inference
from tf_transfer.training import distribution


@pytest.mark.parametrize("name", ["none", "mirrored"])
def test_stream_outputs_keeps_order_for_any_last_batch(name):
    images = helpers.blobs(per_class=8, classes=4)
    with distribution.strategy(name).scope():
        model = helpers.tiny_classifier()
    expected = model(images.images / np.float32(255), training=False)
    batches = list(inference.stream_outputs(model, images.batches(9)))
    outputs = np.concatenate([rows for rows, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, images.labels)


def test_stream_outputs_without_labels():
    model = helpers.tiny_classifier()
    dataset = tf.data.Dataset.from_tensors(np.zeros((3, 8, 8, 1), np.float32))
    ((outputs, labels),) = inference.stream_outputs(model, dataset)
    assert outputs.shape == (3, 4)
    assert labels is None


def test_stream_outputs_refuses_an_infinite_dataset():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    endless = helpers.blobs().shuffled_batches(4, seed=0)
    with pytest.raises(InputError, match=r"must be finite.*an infinite"):
        next(inference.stream_outputs(model, endless))


def test_stream_outputs_refuses_arrays():
    images = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(InputError, match=r"tf.data.Dataset.*: ndarray"):
        next(inference.stream_outputs(helpers.tiny_classifier(), images))
