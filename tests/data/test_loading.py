import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.data import image_data, loading
from tf_transfer.data.raw import loaders
from tf_transfer.data.raw.image_files import RawImages
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
    joined = loading.load(f"digits+npz:{path}", size=12, channels=1)
    assert joined.images.shape == (1797 + 8, 12, 12, 1)
    assert joined.images.dtype == np.uint8
    assert joined.num_classes == 12
    assert joined.labels[1797:].tolist() == [10, 11, 10, 11, 10, 11, 10, 11]
    assert joined.test.tolist() == [1803, 1804]
    assert len(joined.train_part().labels) == 1803


def test_part_names_leave_a_plus_in_a_path():
    name = "npz:a+b/c.npz+glyphs+folder:d+e"
    parts = ["npz:a+b/c.npz", "glyphs", "folder:d+e"]
    assert loading.part_names(name) == parts


def test_remembers_the_frame_that_was_used():
    digits = loading.load("digits", size=12, channels=1)
    raw = loaders.load("digits").images[:20, ..., None]
    for part in (digits, digits.take(np.arange(30))):
        np.testing.assert_array_equal(part.frame(raw), part.images[:20])
    assert image_data.join([digits, digits]).frame is None


def test_from_dataset_refuses_all_but_finite_single_pairs():
    images = tf.data.Dataset.from_tensor_slices(np.zeros((2, 8, 8, 1)))
    triples = tf.data.Dataset.zip(images, images, images)
    pairs = tf.data.Dataset.zip(images, tf.data.Dataset.range(2))
    for dataset in (images, triples, pairs.batch(2)):
        with pytest.raises(InputError, match=r"must yield .image, class num"):
            loading.from_dataset(dataset, ["a", "b"], size=8, channels=3)
    with pytest.raises(InputError, match=r"An example must .* Received: int"):
        loading.from_dataset([1], ["a", "b"], size=8, channels=3)
    with pytest.raises(InputError, match="must end"):
        loading.from_dataset(pairs.repeat(), ["a", "b"], size=8, channels=1)


def test_from_dataset_takes_any_tf_data():
    dataset = tf.data.Dataset.from_tensor_slices(
        (np.eye(8, dtype=np.float32)[None].repeat(4, 0), [0, 1, 0, 1])
    )
    data = loading.from_dataset(dataset, ["a", "b"], size=8, channels=3)
    assert data.images.shape == (4, 8, 8, 3)
    assert data.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            RawImages(np.zeros((0, 4, 4)), np.zeros(0), []),
            "no images",
        ),
        (
            RawImages(np.zeros((1, 4, 4)), np.array([3]), ["a"]),
            r"\[0, 1\). Received: label 3",
        ),
        (
            RawImages(np.full((1, 4, 4), np.inf), np.array([0]), ["a"]),
            "real numbers up to",
        ),
    ],
)
def test_frame_names_the_data_set_it_refuses(raw, message):
    with pytest.raises(InputError, match=message) as caught:
        loading.frame(raw, 8, 1, name="mine")
    assert "'mine'" in str(caught.value)


def test_memory_is_checked_before_framing():
    with pytest.raises(InputError, match="half of the memory"):
        loading._check_memory(2**60, "huge")


def test_test_images_do_not_influence_the_framing():
    images = np.zeros((40, 12, 12), np.uint8)
    images[:, 4:8, 4:8] = 255
    other = images.copy()
    other[20:] = 255 - np.arange(144).reshape(12, 12)
    labels, test = np.arange(40) % 2, np.arange(20, 40)
    one, two = (
        loading.frame(RawImages(pixels, labels, ["a", "b"], test), 8, 1)
        for pixels in (images, other)
    )
    assert one.frame == two.frame
    np.testing.assert_array_equal(one.images[:20], two.images[:20])
