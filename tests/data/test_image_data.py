import dataclasses
import hashlib
import pickle

import numpy as np
import pytest
import tensorflow as tf

from tests import helpers
from tf_transfer.data import image_data, loading
from tf_transfer.errors import InputError


def test_shuffled_batches_pass_over_all_images_in_new_orders():
    images = helpers.blobs()
    batches = images.shuffled_batches(60, seed=0).take(4)
    two_epochs = np.concatenate([pixels for pixels, _ in batches])
    first, second = (
        [image.tobytes() for image in half] for half in np.split(two_epochs, 2)
    )
    (whole, _), *_ = images.batches(120)
    assert sorted(first) == sorted(image.tobytes() for image in whole.numpy())
    assert sorted(first) == sorted(second)
    assert first != second


def test_images_can_be_sent_to_another_process_after_use():
    images = helpers.blobs()
    for used in (images.batches(8), images.shuffled_batches(8, seed=0)):
        next(iter(used))
    again = pickle.loads(pickle.dumps(images))
    assert again.fingerprint() == images.fingerprint()
    assert "_stored" not in vars(again)


def test_the_fingerprint_of_any_names():
    """Folders may have names that are no UTF-8; those of others stay."""
    images = helpers.blobs()
    expected = hashlib.sha256(images.images.tobytes())
    expected.update(images.labels.tobytes())
    expected.update(b"class 0\nclass 1\nclass 2\nclass 3")
    assert expected.hexdigest().startswith(images.fingerprint())
    for name in ("\udcff", "\ud800", "\u00e9"):
        names = [*images.class_names[:3], name]
        other = dataclasses.replace(images, class_names=names)
        assert other.fingerprint() != images.fingerprint()


def test_batches_and_gather_agree():
    images = helpers.blobs()
    indices = tf.data.Dataset.from_tensors(np.arange(7))
    for one, other in zip(
        next(iter(images.batches(7))),
        next(iter(images.gather(indices))),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert float(tf.reduce_max(next(iter(images.batches(7)))[0])) <= 1


def test_image_data_refuses_labels_of_another_length():
    with pytest.raises(InputError, match="one label per image"):
        image_data.ImageData(np.zeros((2, 4, 4, 1)), np.zeros(3, int), ["a"])


def test_image_data_is_equal_to_itself_alone():
    images = helpers.blobs(per_class=2)
    assert images == images
    assert images not in (helpers.blobs(per_class=2), None)
    assert len({images, images}) == 1


def test_only_renumbers_the_labels_and_keeps_images_and_test_part():
    images = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1)
    whole = image_data.ImageData(
        images,
        np.array([2, 0, 1, 3, 2, 0, 3], np.int32),
        ["a", "b", "c", "d"],
        test=np.array([1, 4, 6]),
        frame=loading.load("digits", size=12, channels=1).frame,
    )
    part = whole.only(["d", "a"])
    assert part.class_names == ["a", "d"]  # in the data's own order
    assert part.labels.tolist() == [0, 1, 0, 1]
    assert part.labels.dtype == np.int32
    assert part.images.ravel().tolist() == [1, 3, 5, 6]
    assert part.test.tolist() == [0, 3]
    assert part.train_part().images.ravel().tolist() == [3, 5]
    assert part.frame is whole.frame
    assert whole.only(["b"]).test.tolist() == []
    assert whole.only(whole.class_names).fingerprint() == whole.fingerprint()


def test_only_without_a_test_part():
    part = helpers.blobs(per_class=2).only(["class 3"])
    assert part.test is None
    assert part.labels.tolist() == [0, 0]


def test_only_keeps_all_classes_of_a_name():
    joined = image_data.join([helpers.blobs(), helpers.blobs(seed=1)])
    part = joined.only(["class 2", "class 0"])
    assert part.class_names == ["class 0", "class 2"] * 2
    assert np.bincount(part.labels).tolist() == [30] * 4
    np.testing.assert_array_equal(
        part.images[part.labels == 3], joined.images[joined.labels == 6]
    )


def test_only_refuses_a_class_that_does_not_exist():
    with pytest.raises(InputError) as caught:
        helpers.blobs().only(["class 1", "cat"])
    assert str(caught.value) == (
        "There is no such class; there are class 0, class 1, class 2, class 3."
        " Received: 'cat'"
    )
    with pytest.raises(InputError, match=r"class 19, \.\.\.\. Received: 'cat'"):
        helpers.blobs(per_class=1, classes=21).only(["cat"])
