import conftest
import numpy as np
import pytest
import tensorflow as tf

from tf_transfer import data, loaders
from tf_transfer.errors import InputError


def test_load_frames_and_joins_keeping_classes_apart(tmp_path):
    path = tmp_path / "more.npz"
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 9, 3))
    np.savez(
        path,
        x_train=images.astype(np.uint8),
        y_train=np.array([0, 1, 0, 1, 0, 1]),
        x_test=images[:2].astype(np.uint8),
        y_test=np.array([0, 1]),
    )
    joined = data.load(f"digits+npz:{path}", size=12, channels=1)
    assert joined.images.shape == (1797 + 8, 12, 12, 1)
    assert joined.images.dtype == np.uint8
    assert joined.num_classes == 12
    assert joined.labels[1797:].tolist() == [10, 11, 10, 11, 10, 11, 10, 11]
    assert joined.test.tolist() == [1803, 1804]
    assert len(joined.train_part().labels) == 1803


def test_remembers_the_frame_that_was_used():
    digits = data.load("digits", size=12, channels=1)
    raw = loaders.load("digits").images[:20, ..., None]
    for part in (digits, digits.take(np.arange(30))):
        np.testing.assert_array_equal(part.frame(raw), part.images[:20])
    assert data.join([digits, digits]).frame is None


def test_from_dataset_takes_any_tf_data():
    dataset = tf.data.Dataset.from_tensor_slices(
        (np.eye(8, dtype=np.float32)[None].repeat(4, 0), [0, 1, 0, 1])
    )
    found = data.from_dataset(dataset, ["a", "b"], size=8, channels=3)
    assert found.images.shape == (4, 8, 8, 3)
    assert found.labels.tolist() == [0, 1, 0, 1]


def test_batches_and_gather_agree():
    images = conftest.blobs()
    indices = tf.data.Dataset.from_tensors(np.arange(7))
    for one, other in zip(
        next(iter(images.batches(7))),
        next(iter(images.gather(indices))),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert float(tf.reduce_max(next(iter(images.batches(7)))[0])) <= 1


def test_keep_per_class():
    kept = data.keep_per_class(conftest.blobs(), 3, seed=0)
    assert np.bincount(kept.labels).tolist() == [3] * 4
    assert data.keep_per_class(kept, 0, seed=0) is kept


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (loaders.RawImages(np.zeros((0, 4, 4)), np.zeros(0), []), "no images"),
        (
            loaders.RawImages(np.zeros((1, 4, 4)), np.array([3]), ["a"]),
            r"\[0, 1\). Received: label 3",
        ),
        (
            loaders.RawImages(np.full((1, 4, 4), np.inf), np.array([0]), ["a"]),
            "real numbers up to",
        ),
    ],
)
def test_frame_names_the_data_set_it_refuses(raw, message):
    with pytest.raises(InputError, match=message) as caught:
        data.frame(raw, 8, 1, name="mine")
    assert "'mine'" in str(caught.value)


def test_image_data_refuses_labels_of_another_length():
    with pytest.raises(InputError, match="one label per image"):
        data.ImageData(np.zeros((2, 4, 4, 1)), np.zeros(3, int), ["a"])


def test_memory_is_checked_before_framing():
    with pytest.raises(InputError, match="half of the memory"):
        data._check_memory(2**60, "huge")
