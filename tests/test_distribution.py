import conftest
import numpy as np
import pytest
import tensorflow as tf

from tf_transfer import distribution
from tf_transfer.errors import InputError


@pytest.mark.parametrize("name", ["none", "mirrored"])
def test_stream_outputs_keeps_order_for_any_last_batch(name):
    images = conftest.blobs(per_class=8, classes=4)
    with distribution.strategy(name).scope():
        model = conftest.tiny_classifier()
    expected = model(images.images / np.float32(255), training=False)
    found = list(distribution.stream_outputs(model, images.batches(9)))
    outputs = np.concatenate([rows for rows, _ in found])
    labels = np.concatenate([labels for _, labels in found])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, images.labels)


def test_stream_outputs_without_labels():
    model = conftest.tiny_classifier()
    dataset = tf.data.Dataset.from_tensors(np.zeros((3, 8, 8, 1), np.float32))
    ((outputs, labels),) = distribution.stream_outputs(model, dataset)
    assert outputs.shape == (3, 4)
    assert labels is None


def test_strategies_by_name():
    assert distribution.strategy("none").num_replicas_in_sync == 1
    assert distribution.strategy("mirrored").num_replicas_in_sync == 2
    with pytest.raises(InputError, match="choose none, mirrored"):
        distribution.strategy("everything")
