import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.data import image_data
from tf_transfer.data.store import indexed
from tf_transfer.data.store.indexed import IndexedImages, StoredArray

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)


def stored(folder, images=IMAGES):
    """The same images in a file."""
    path = folder / f"{len(images)}.bin"
    images.tofile(path)
    return StoredArray(path, images.shape, indexed.digests(images))


@pytest.mark.parametrize(
    "index",
    [
        3,
        -1,
        slice(None),
        slice(4, 25, 3),
        slice(20, 4, -1),
        np.array([5, 6, 7, 2, 2, -3]),
        np.array([], np.int64),
        np.arange(30) % 3 == 0,
    ],
)
@pytest.mark.parametrize("order", [None, np.arange(30)[::-1] % 17])
def test_indexing_is_that_of_an_array(tmp_path, index, order):
    parts = [stored(tmp_path, IMAGES[:12]), IMAGES[12:]]
    images, expected = IndexedImages(parts), IMAGES
    if order is not None:
        images, expected = images.take(order), IMAGES[order]
    assert (images.shape, images.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(images[index], expected[index])
    np.testing.assert_array_equal(
        images.digests(), indexed.digests(np.asarray(images))
    )


@pytest.mark.parametrize("index", [30, -31])
def test_an_index_beyond_the_images_is_refused(tmp_path, index):
    with pytest.raises(IndexError):
        IndexedImages([stored(tmp_path)])[index]


def test_only_what_is_in_memory_counts_as_memory(tmp_path):
    images = IndexedImages([stored(tmp_path), IMAGES])
    assert images.nbytes == IMAGES.nbytes
    assert images.take(np.arange(40)).nbytes == IMAGES.nbytes + 8 * 40


def test_another_process_reads_the_file_itself(tmp_path):
    images = IndexedImages([stored(tmp_path)]).take(np.arange(9))
    images[:2]
    copied = pickle.dumps(images)
    assert len(copied) < IMAGES.nbytes / 2
    np.testing.assert_array_equal(pickle.loads(copied)[:], IMAGES[:9])


def test_a_file_that_is_cut_off_is_told(tmp_path):
    images = IndexedImages([stored(tmp_path)])
    (tmp_path / "30.bin").write_bytes(b"short")
    with pytest.raises(OSError, match="is cut off"):
        images[20]


def both(tmp_path):
    """The same data set in memory and on the disk."""
    memory = image_data.ImageData(
        IMAGES, np.arange(30) % 3, ["a", "b", "c"], test=np.arange(20, 30)
    )
    disk = image_data.ImageData(
        IndexedImages([stored(tmp_path)]),
        memory.labels,
        memory.class_names,
        memory.test,
    )
    return memory, disk


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.train_part(),
        lambda data: data.only(["a", "c"]),
        lambda data: image_data.join([data, data.only(["b"])]),
        lambda data: image_data.join([data.take(np.arange(4)), data]),
    ],
)
def test_data_on_the_disk_are_the_data_in_memory(tmp_path, change):
    memory, disk = map(change, both(tmp_path))
    assert isinstance(disk.images, IndexedImages)
    np.testing.assert_array_equal(disk.images[:], memory.images)
    np.testing.assert_array_equal(disk.labels, memory.labels)
    np.testing.assert_array_equal(disk.digests(), memory.digests())
    assert disk.fingerprint() == memory.fingerprint()
    for batches in (
        lambda data: data.batches(7),
        lambda data: data.shuffled_batches(8, seed=3).take(9),
    ):
        for one, other in zip(batches(disk), batches(memory), strict=True):
            for a, b in zip(one, other, strict=True):
                assert a.shape == b.shape
                np.testing.assert_array_equal(a, b)
        assert batches(disk).element_spec == batches(memory).element_spec


def test_data_in_memory_and_on_the_disk_are_joined(tmp_path):
    memory, disk = both(tmp_path)
    joined = image_data.join([memory, disk])
    np.testing.assert_array_equal(joined.images[:30], joined.images[30:])
    assert joined.fingerprint() == image_data.join([memory] * 2).fingerprint()


def test_a_model_trains_on_both_alike(tmp_path):
    weights = []
    for data in both(tmp_path):
        keras.utils.set_random_seed(0)
        model = tt.classifier(tt.small_encoder((8, 8, 3), 4), 3)
        model.compile(
            "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.fit(
            data.shuffled_batches(8, seed=0),
            steps_per_epoch=5,
            verbose=0,
            shuffle=False,
        )
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_of_other_workers_are_not_read(tmp_path):
    rows = np.array([True, False, True, False])
    data = [
        image_data.ImageData(images, np.arange(30), list(map(str, range(30))))
        for images in (IndexedImages([stored(tmp_path)]), IMAGES)
    ]
    for size in (1, 3):  # batches
        indices = tf.data.Dataset.range(4 * size).batch(4, drop_remainder=True)
        some, every = (
            [batch for batch, _ in each.gather(indices, rows)] for each in data
        )
        for part, whole in zip(some, every, strict=True):
            np.testing.assert_array_equal(part[rows], whole[rows])
            assert not np.any(part[~rows])
