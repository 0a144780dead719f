import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError


def log_model(classes=3):
    """Returns its inputs as logits."""
    return keras.Sequential(
        [keras.Input((classes,)), keras.layers.Identity()], name="logits"
    )


def batches(shares, labels, size=2):
    images = np.log(np.asarray(shares, np.float32))
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(size)


def test_the_mean_prediction_by_class_across_batches_by_hand():
    shares = [[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.4, 0.3, 0.3]]
    relation = tt.class_relation(log_model(), batches(shares, [1, 0, 1]), 2)
    expected = [[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]]
    np.testing.assert_allclose(relation, expected, atol=1e-6)


def test_a_class_without_images_has_a_uniform_row():
    shares = [[0.5, 0.25, 0.25]]
    relation = tt.class_relation(log_model(), batches(shares, [2]), 4)
    expected = np.full((4, 3), 1 / 3)
    expected[2] = shares[0]
    np.testing.assert_allclose(relation, expected, atol=1e-6)


def test_sizes_of_logits_and_of_batches_do_not_matter():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], 7).astype(np.float32)
    labels = rng.integers(0, 2, 7)
    whole = tt.class_relation(log_model(), batches(shares, labels, 7), 2)
    small = tt.class_relation(log_model(), batches(shares, labels, 3), 2)
    np.testing.assert_allclose(whole, small, atol=1e-6)
    np.testing.assert_allclose(whole.sum(axis=1), 1)
    far = batches(shares, labels).map(lambda x, y: (x + 900.0, y))
    np.testing.assert_allclose(
        tt.class_relation(log_model(), far, 2), whole, atol=1e-3
    )


def test_two_devices_equal_one(mirrored):
    images = helpers.blobs(per_class=5)
    relations = []
    for scope in (tt.strategy("none"), mirrored):
        keras.utils.set_random_seed(0)
        with scope.scope():
            model = helpers.tiny_classifier(classes=6)
        relations.append(tt.class_relation(model, images.batches(9), 4))
    np.testing.assert_allclose(*relations, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2], r"must lie in \[0, 2\). Received: label 2"),
        ([-1, 0], r"must lie in \[0, 2\). Received: label -1"),
        ([0.0, 1.0], "must be integers .*Received: dtype=float32"),
        ([[0, 1], [1, 0]], r"not one-hot.*Received: .*shape=\(2, 2\)"),
    ],
)
def test_refuses_labels(labels, message):
    dataset = batches([[0.5, 0.3, 0.2]] * 2, labels)
    with pytest.raises(InputError, match=message):
        tt.class_relation(log_model(), dataset, 2)


def test_refuses_a_dataset_without_images():
    with pytest.raises(InputError, match="no images"):
        tt.class_relation(log_model(), batches([[1.0, 1, 1]], [0]).take(0), 2)


@pytest.mark.parametrize("share", [np.nan, np.inf])
def test_refuses_images_that_are_not_finite(share):
    dataset = batches([[0.5, 0.3, 0.2], [share, 0.3, 0.2]], [0, 1])
    with pytest.raises(InputError, match="outputs must be finite"):
        tt.class_relation(log_model(), dataset, 2)


def test_refuses_no_classes():
    dataset = batches([[0.5, 0.3, 0.2]], [0])
    with pytest.raises(InputError, match="Received: num_classes=0"):
        tt.class_relation(log_model(), dataset, 0)


def test_takes_probabilities():
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]], np.float32)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    dataset = tf.data.Dataset.from_tensors((probabilities, [0, 0, 1]))
    relation = tt.class_relation(model, dataset, 2, from_logits=False)
    np.testing.assert_allclose(relation, [[0.7, 0.3], [0.1, 0.9]], atol=1e-6)
    with pytest.raises(InputError, match="seems to return probabilities"):
        tt.class_relation(model, dataset, 2)


def test_refuses_images_alone():
    dataset = batches([[0.5, 0.3, 0.2]], [0]).map(lambda image, label: image)
    with pytest.raises(InputError, match="Received: images alone"):
        tt.class_relation(log_model(), dataset, 2)
