import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.data import image_data
from tf_transfer.experiment import pipelines

SOURCE = helpers.blobs(per_class=20, classes=8)
TARGET = helpers.blobs(per_class=4, seed=1)


def make(seed=0, **changes):
    config = helpers.tiny_experiment(**changes)
    return pipelines.InputPipelines(config, SOURCE, seed)


def importance(*useful):
    weights = tt.ImportanceWeights(8)
    weights.assign(np.isin(np.arange(8), useful), SOURCE.prior)
    return weights


def labels(dataset, count):
    return np.concatenate([batch[1] for batch in dataset.take(count)])


def test_datasets_are_made_once():
    made = make()
    other = TARGET.take(np.arange(8))
    assert made.target(TARGET) is made.target(TARGET)
    assert made.target(other) is not made.target(TARGET)
    assert made.whole_source(4) is made.whole_source(4)
    assert made.whole_source(4) is not made.whole_source(8)
    whole = made.whole_source(4)
    assert whole(0) is whole(0)


@pytest.mark.parametrize("kind", ["target", "whole_source"])
def test_from_a_step_on_they_are_what_they_would_have_been(kind):
    made = make()
    endless = made.target(TARGET) if kind == "target" else made.whole_source(8)
    ahead = list(endless(0).take(30))
    behind = list(endless(25).take(5))
    assert all(len(images) == 8 for images, _ in ahead)
    for whole, later in zip(ahead[25:], behind, strict=True):
        for a, b in zip(whole, later, strict=True):
            np.testing.assert_array_equal(a, b)


def test_every_image_comes_once_before_any_comes_again():
    made = make()
    source = made.whole_source(16)(0)
    assert np.bincount(labels(source, 10)).tolist() == [20] * 8
    target = made.target(TARGET)(0)
    assert np.bincount(labels(target, 2)).tolist() == [4] * 4


def test_orders_are_of_the_seed():
    first, again, other = (make(seed) for seed in (0, 0, 1))
    for kind in (lambda m: m.whole_source(16), lambda m: m.target(TARGET)):
        one, same, unlike = (
            labels(kind(made)(0), 4) for made in (first, again, other)
        )
        np.testing.assert_array_equal(one, same)
        assert (one != unlike).any()


@pytest.mark.parametrize("apply", ["draw", "resample", "elastic"])
def test_only_classes_with_weight_are_drawn(apply):
    made = make(datl=config_lib.Datl(apply=apply))
    source = made.source(16, importance(2, 5))
    drawn = labels(source(0), 5)
    assert set(drawn) == {2, 5}
    np.testing.assert_array_equal(labels(source(3), 2), drawn[48:])


def test_attached_weights_come_with_the_whole_source():
    made = make(datl=config_lib.Datl(apply="attach"))
    source = made.source(16, importance(2, 5))
    for _, found, weights in source(0).take(5):
        np.testing.assert_allclose(weights, 4 * np.isin(found, [2, 5]))
    whole = made.source(16)
    np.testing.assert_array_equal(labels(whole(0), 5), labels(source(0), 5))


def test_images_and_labels_belong_together():
    made = make()
    marked = image_data.ImageData(
        np.tile(SOURCE.labels[:, None, None, None], (1, 2, 2, 1)).astype(
            np.uint8
        ),
        SOURCE.labels,
        SOURCE.class_names,
    )
    made = pipelines.InputPipelines(made.config, marked, seed=0)
    for images, found in made.whole_source(16)(0).take(5):
        np.testing.assert_allclose(255 * images[:, 0, 0, 0], found, atol=1e-4)
