import numpy as np
import pytest

from tests import helpers
from tf_transfer.data import image_data, loading, splits
from tf_transfer.errors import InputError


def test_the_source_trains_by_class_outside_its_test_part():
    images = helpers.blobs()
    own = image_data.ImageData(
        images.images, images.labels, images.class_names, np.arange(0, 90, 2)
    )
    train = splits.trained_on(own, 3)
    assert np.bincount(train.labels).tolist() == [3] * 4
    rest = {image.tobytes() for image in images.images[1::2]}
    rest |= {image.tobytes() for image in images.images[90:]}
    assert {image.tobytes() for image in train.images} <= rest
    assert splits.trained_on(images, 0) is images


def test_draws_of_a_class_are_random_and_may_take_all_its_images():
    labels = np.array([2, 0, 2, 2, 0, 5])
    drawn = [splits.draw_per_class(labels, 2, seed) for seed in range(20)]
    for indices in drawn:
        assert labels[indices].tolist() == [0, 0, 2, 2, 5]
        assert len(set(indices)) == 5
    assert {i for indices in drawn for i in indices[2:4]} == {0, 2, 3}


def test_a_source_that_contains_the_test_images_is_refused():
    digits = loading.load("digits", size=8, channels=1)
    test = splits.split_target(digits, 10, seed=0, test_share=0.5).test
    with pytest.raises(InputError, match="Received: 896 of 896 in both"):
        splits.check_apart(digits, test)
    test_images = {image.tobytes() for image in test.images}
    apart = [
        i
        for i, image in enumerate(digits.images)
        if image.tobytes() not in test_images
    ]
    splits.check_apart(digits.take(np.array(apart)), test)


def test_one_in_a_hundred_test_images_may_be_in_the_source():
    images = helpers.blobs(per_class=50)
    source = images.take(np.arange(100))
    splits.check_apart(source, images.take(np.arange(99, 199)))
    for shared in (2, 5):
        test = images.take(np.arange(100 - shared, 200 - shared))
        with pytest.raises(InputError, match=f"{shared} of 100 in both"):
            splits.check_apart(source, test)


def test_a_share_of_every_class_is_held_out_but_never_all():
    images = helpers.blobs(per_class=11)
    train, held_out = splits.hold_out(images, 0.15, seed=0)
    # .15 of the ten that may go, rounded up.
    assert np.bincount(images.labels[held_out]).tolist() == [2] * 4
    assert sorted([*train, *held_out]) == list(range(44))
    assert (held_out != splits.hold_out(images, 0.15, seed=1)[1]).any()
    train, held_out = splits.hold_out(images.take(np.arange(4)), 0.5, seed=0)
    assert (train.tolist(), held_out.tolist()) == ([0, 1, 2, 3], [])


def test_split_keeps_parts_apart_and_is_drawn_by_seed():
    images = loading.load("digits", size=8, channels=1)
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


@pytest.mark.parametrize(
    ("per_class", "share", "expected"),
    [
        (9, 0.5, 4),
        (9, 0.2, 1),
        (3, 0.2, 1),
        (2, 0.5, 1),
        (1, 0.5, 0),
        (100, 0.29, 29),
        (100, 0.2, 20),
    ],
)
def test_a_share_of_every_class_is_the_test_part(per_class, share, expected):
    images = helpers.blobs(per_class=per_class)
    test = splits.test_part(images, share)
    assert np.bincount(images.labels[test], minlength=4).tolist() == (
        [expected] * 4
    )
    np.testing.assert_array_equal(test, splits.test_part(images, share))


def test_the_test_part_is_the_same_in_every_version():
    """Otherwise one version could train on the test images of another."""
    images = helpers.blobs(per_class=6, classes=2)
    assert splits.test_part(images, 0.5).tolist() == [0, 3, 5, 6, 10, 11]


def test_split_uses_the_data_sets_own_test_part():
    images = helpers.blobs()
    own = image_data.ImageData(
        images.images, images.labels, images.class_names, np.arange(40)
    )
    split = splits.split_target(own, 5, 2, seed=0)
    np.testing.assert_array_equal(split.test.images, images.images[:40])


def test_split_takes_all_images_outside_the_test_part_if_needed():
    split = splits.split_target(
        helpers.blobs(per_class=10), 5, 2, seed=0, test_share=0.5
    )
    assert np.bincount(split.labelled.labels).tolist() == [5] * 4


@pytest.mark.parametrize(
    ("labels", "validation", "message"),
    [
        (1, 0, "`validation_per_class`.*Received: 1 and 1"),
        (5, 5, "`validation_per_class`"),
        (16, 5, "must have 16 images.*Received: 15 of class 'class 0'"),
    ],
)
def test_split_refuses(labels, validation, message):
    with pytest.raises(InputError, match=message):
        splits.split_target(
            helpers.blobs(), labels, validation, seed=0, test_share=0.5
        )


def test_split_refuses_a_test_part_without_images():
    images = helpers.blobs()
    none = image_data.ImageData(
        images.images, images.labels, images.class_names, np.array([], int)
    )
    with pytest.raises(InputError, match=r"test part must.*none of 4 classes"):
        splits.split_target(none, 5, 2, seed=0)


def images_of(*counts):
    """Images of classes of given sizes; no two are equal."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    pixels = np.arange(len(labels) * 16, dtype=np.uint16)
    images = (pixels // 16).astype(np.uint8).reshape(-1, 4, 4, 1)
    names = [str(c) for c in range(len(counts))]
    return image_data.ImageData(images, labels, names)


def numbers(images):
    return images.images[:, 0, 0, 0].tolist()


def test_all_labels_are_trained_on_and_validated_with():
    images = images_of(10, 25, 60)
    parts = [splits.split_target(images, seed=s, folds=5) for s in range(10)]
    labelled = sorted(numbers(parts[0].labelled))
    assert len(labelled) == 8 + 20 + 48
    validated = []
    for split in parts[:5]:
        assert sorted(numbers(split.labelled)) == labelled
        rest = numbers(split.train) + numbers(split.validation)
        assert sorted(rest) == labelled
        shares = np.bincount(split.validation.labels) - np.divide(
            [8, 20, 48], 5
        )
        assert (abs(shares) < 1).all()
        validated += numbers(split.validation)
    assert sorted(validated) == labelled
    assert numbers(parts[0].validation) == numbers(parts[5].validation)
    apart = set(labelled) & set(numbers(parts[0].test))
    assert not apart


def test_no_class_is_held_out_as_a_whole():
    images = images_of(2, 3, 1, 40)
    for seed in range(5):
        split = splits.split_target(images, seed=seed)
        assert set(split.train.labels) == {0, 1, 2, 3}
        assert len(split.validation.labels)


def test_so_many_of_all_labels_are_validated_with_as_asked_for():
    images = images_of(3, 40)
    splits_of = [
        splits.split_target(images, 0, 4, seed=seed) for seed in range(2)
    ]
    for split in splits_of:
        # Of the first class two are labelled, of which one stays.
        assert np.bincount(split.validation.labels).tolist() == [1, 4]
        assert len(split.labelled.labels) == 2 + 32
    first, second = map(numbers, (s.validation for s in splits_of))
    assert first != second


def test_three_tenths_of_drawn_labels_are_validated_with():
    split = splits.split_target(images_of(40, 40), 10, seed=0)
    assert np.bincount(split.validation.labels).tolist() == [3, 3]


def test_classes_of_single_images_cannot_be_validated_with():
    for settings in ((0, 0), (0, 2)):
        with pytest.raises(InputError, match=r"two or more.*Received: 3 im"):
            splits.split_target(images_of(2, 2, 2), *settings, seed=0)


def test_seeds_cover_all_folds():
    assert [splits.folds_of(seeds) for seeds in (1, 3, 4, 9)] == [3, 3, 4, 5]
