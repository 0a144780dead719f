import conftest
import numpy as np
import pytest

from tf_transfer import data, splits
from tf_transfer.errors import InputError


def test_split_keeps_parts_apart_and_is_drawn_by_seed():
    images = data.load("digits", size=8, channels=1)
    drawn = [splits.split_target(images, 10, 3, seed) for seed in (0, 0, 1)]
    first, again, other = drawn
    np.testing.assert_array_equal(first.labelled.images, again.labelled.images)
    assert (first.labelled.images != other.labelled.images).any()
    np.testing.assert_array_equal(first.test.images, other.test.images)
    assert np.bincount(first.labelled.labels).tolist() == [10] * 10
    assert np.bincount(first.validation.labels).tolist() == [3] * 10
    assert np.bincount(first.train.labels).tolist() == [7] * 10
    test = {image.tobytes() for image in first.test.images}
    for split in drawn:
        labelled = {image.tobytes() for image in split.labelled.images}
        assert len(labelled & test) < 3  # equal drawings, not equal images


def test_split_uses_the_data_sets_own_test_part():
    images = conftest.blobs()
    own = data.ImageData(
        images.images, images.labels, images.class_names, np.arange(40)
    )
    split = splits.split_target(own, 5, 2, seed=0)
    np.testing.assert_array_equal(split.test.images, images.images[:40])


@pytest.mark.parametrize(
    ("labels", "validation", "message"),
    [
        (5, 0, "`validation_per_class`"),
        (5, 5, "`validation_per_class`"),
        (500, 5, "must have 500 images of every class"),
    ],
)
def test_split_refuses(labels, validation, message):
    with pytest.raises(InputError, match=message):
        splits.split_target(conftest.blobs(), labels, validation, seed=0)


def test_split_refuses_a_test_part_without_images():
    images = conftest.blobs()
    none = data.ImageData(
        images.images, images.labels, images.class_names, np.array([], int)
    )
    with pytest.raises(InputError, match=r"test part must.*none of 4 classes"):
        splits.split_target(none, 5, 2, seed=0)
