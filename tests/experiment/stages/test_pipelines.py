import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.data import image_data, splits
from tf_transfer.data.splits import Part
from tf_transfer.experiment.stages import pipelines

SOURCE = helpers.blobs(per_class=20, classes=8)
TARGET = splits.split_target(helpers.blobs(per_class=12, seed=1), 6, 2, seed=0)


def make(seed=0, source=SOURCE, **changes):
    config = helpers.tiny_experiment(**changes)
    return pipelines.InputPipelines(config, source, TARGET, seed)


def importance(*useful):
    weights = tt.ImportanceWeights(8)
    weights.assign(np.isin(np.arange(8), useful), SOURCE.prior)
    return weights


def labels(dataset, count):
    return np.concatenate([batch[1] for batch in dataset.take(count)])


def kinds(inputs):
    """Batches of the target and of the source."""
    return inputs.target(Part.TRAIN), inputs.source(16)


def test_datasets_are_made_once():
    inputs = make()
    train = inputs.target(Part.TRAIN)
    assert inputs.target(Part.TRAIN) is train
    assert inputs.target(Part.LABELLED) is not train
    whole = inputs.source(4)
    assert inputs.source(4) is whole
    assert inputs.source(8) is not whole
    assert inputs.source(4, order=0) is not whole
    assert whole(0) is whole(0)
    weighted = inputs.source(4, importance(2))
    assert weighted(0) is weighted(0)
    assert inputs.source(4, importance(2)) is not weighted


@pytest.mark.parametrize("kind", [0, 1])
def test_from_a_step_on_they_are_what_they_would_have_been(kind):
    endless = kinds(make())[kind]
    ahead = list(endless(0).take(30))
    behind = list(endless(25).take(5))
    assert all(len(images) == (8, 16)[kind] for images, _ in ahead)
    for whole, later in zip(ahead[25:], behind, strict=True):
        for a, b in zip(whole, later, strict=True):
            np.testing.assert_array_equal(a, b)


def test_every_image_comes_once_before_any_comes_again():
    target, source = kinds(make())
    assert np.bincount(labels(source(0), 10)).tolist() == [20] * 8
    assert np.bincount(labels(target(0), 2)).tolist() == [4] * 4


def test_orders_depend_on_the_seed():
    first, again, other = (kinds(make(seed)) for seed in (0, 0, 1))
    for kind in (0, 1):
        one, same, unlike = (
            labels(each[kind](0), 4) for each in (first, again, other)
        )
        np.testing.assert_array_equal(one, same)
        assert (one != unlike).any()


@pytest.mark.parametrize("apply", ["draw", "resample", "elastic"])
def test_only_classes_with_weight_are_drawn(apply):
    inputs = make(datl=config_lib.Datl(apply=apply))
    source = inputs.source(16, importance(2, 5))
    drawn = labels(source(0), 5)
    assert set(drawn) == {2, 5}
    np.testing.assert_array_equal(labels(source(3), 2), drawn[48:])


def test_attached_weights_come_with_the_whole_source():
    inputs = make(datl=config_lib.Datl(apply="attach"))
    source = inputs.source(16, importance(2, 5))
    for _, classes, weights in source(0).take(5):
        np.testing.assert_allclose(weights, 4 * np.isin(classes, [2, 5]))
    whole = inputs.source(16)
    np.testing.assert_array_equal(labels(whole(0), 5), labels(source(0), 5))


def test_images_and_labels_belong_together():
    marked = image_data.ImageData(
        np.tile(SOURCE.labels[:, None, None, None], (1, 2, 2, 1)).astype(
            np.uint8
        ),
        SOURCE.labels,
        SOURCE.class_names,
    )
    inputs = make(source=marked)
    for images, classes in inputs.source(16)(0).take(5):
        np.testing.assert_allclose(255 * images[:, 0, 0, 0], classes, atol=1e-4)
