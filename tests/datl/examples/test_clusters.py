import keras
import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.datl.examples.clusters import Clusters
from tf_transfer.errors import InputError


@pytest.fixture
def flat():
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])


def purity(found, labels):
    """The share of images whose cluster is mostly of their class."""
    pairs = np.zeros((found.max() + 1, labels.max() + 1))
    np.add.at(pairs, (found, labels), 1)
    return pairs.max(axis=1).sum() / len(labels)


@pytest.mark.parametrize("given", [True, False])
def test_clusters_follow_what_is_in_the_images(flat, given):
    data = helpers.blobs(per_class=60)
    found = tt.cluster(data, 8, flat if given else None)
    assert found.num_classes == 8
    assert found.class_names[0] == "cluster 1"
    assert purity(found.labels, data.labels) > 0.95
    np.testing.assert_array_equal(found.images, data.images)


def test_labels_are_ignored_and_the_seed_decides(flat):
    data = helpers.blobs(per_class=40)
    other = tt.ImageData(
        data.images, np.zeros(len(data.labels), np.int32), ["any"]
    )
    first, same = (tt.cluster(each, 4, flat).labels for each in (data, other))
    np.testing.assert_array_equal(first, same)


def test_other_images_go_to_the_same_clusters(flat):
    data = helpers.blobs(per_class=40)
    clusters = Clusters(data, 4, flat)
    again = clusters.assigned(data.batches(7))
    np.testing.assert_array_equal(again, clusters.labels)
    new = helpers.blobs(per_class=40, seed=5)
    joint = np.concatenate([clusters.labels, clusters.assigned(new.batches())])
    labels = np.concatenate([data.labels, new.labels])
    assert purity(joint, labels) > 0.95


def test_names_sort_as_numbers_do(flat):
    names = tt.cluster(helpers.blobs(per_class=30), 12, flat).class_names
    assert names == sorted(names)


@pytest.mark.parametrize("count", [1, 121, 2.5])
def test_numbers_that_make_no_clusters_are_refused(flat, count):
    with pytest.raises(InputError, match="Received"):
        tt.cluster(helpers.blobs(per_class=30), count, flat)


def test_features_that_are_not_finite_are_refused():
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Rescaling(np.inf),
        ]
    )
    with pytest.raises(InputError, match="must be finite"):
        tt.cluster(helpers.blobs(), 4, encoder)
