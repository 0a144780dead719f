import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.datl import resampling

WEIGHTS = np.array([2.5, 0.4, 1.0, 0.0], np.float32)
LABELS = np.random.default_rng(0).integers(0, 4, 60)


def images_of_many_sizes():
    """(image, label); the image's sides and values tell its position."""

    def image(position, label):
        size = [3 + position % 5, 2 + position % 3, 1]
        return tf.fill(size, tf.cast(position + 1, tf.float32)), label

    dataset = tf.data.Dataset.from_tensor_slices((np.arange(60), LABELS))
    return dataset.map(image)


def chosen_numbers(batch_size=None):
    """What `resample` chooses of the same labels, for plain numbers."""
    numbers = tf.data.Dataset.from_tensor_slices((np.arange(60), LABELS))
    numbers = numbers.batch(batch_size) if batch_size else numbers
    stage = resampling.resample(numbers, WEIGHTS, seed=2)
    return np.concatenate([np.atleast_1d(n) for n, _ in stage])


def test_single_images_of_many_sizes_keep_their_sizes():
    source = images_of_many_sizes()
    stage = resampling.resample(source, WEIGHTS, seed=2)
    assert stage.element_spec == source.element_spec
    for number, (image, label) in zip(chosen_numbers(), stage, strict=True):
        assert image.shape == (3 + number % 5, 2 + number % 3, 1)
        assert (image.numpy() == number + 1).all()
        assert label.numpy() == LABELS[number]


@pytest.mark.parametrize("block_size", [8, 1024])
def test_padded_batches_of_many_sizes_are_padded_again(block_size):
    source = images_of_many_sizes().padded_batch(6)
    stage = resampling.resample(source, WEIGHTS, seed=2, block_size=block_size)
    assert stage.element_spec == source.element_spec
    numbers, labels = [], []
    for images, some in stage:
        assert len(images) <= 6
        numbers += [int(image.numpy().max()) - 1 for image in images]
        labels += some.numpy().tolist()
        for image, number in zip(
            images.numpy(), numbers[-len(images) :], strict=True
        ):
            sides = (3 + number % 5) * (2 + number % 3)
            assert np.count_nonzero(image) == sides
    np.testing.assert_array_equal(LABELS[numbers], labels)
    if block_size == 1024:
        np.testing.assert_array_equal(numbers, chosen_numbers(6))


@pytest.mark.parametrize("batch_size", [None, 6])
def test_sparse_records_stay_sparse(batch_size):
    dense = np.eye(60, dtype=np.float32)
    source = tf.data.Dataset.from_tensor_slices(
        ({"x": tf.sparse.from_dense(dense), "n": np.arange(60)}, LABELS)
    )
    source = source.batch(batch_size) if batch_size else source
    stage = resampling.resample(source, WEIGHTS, seed=2)
    found = []
    for record, _ in stage:
        assert isinstance(record["x"], tf.SparseTensor)
        rows = np.atleast_2d(tf.sparse.to_dense(record["x"]).numpy())
        numbers = np.atleast_1d(record["n"].numpy())
        np.testing.assert_array_equal(rows, dense[numbers])
        found += numbers.tolist()
    np.testing.assert_array_equal(found, chosen_numbers(batch_size))


def test_texts_of_many_lengths():
    texts = [["a"] * (1 + i % 4) for i in range(60)]
    ragged = tf.ragged.constant(texts)
    source = tf.data.Dataset.from_tensor_slices((ragged, LABELS))
    source = source.map(lambda text, label: (text, label)).padded_batch(4)
    stage = resampling.resample(source.repeat(), WEIGHTS, seed=2)
    words, labels = next(iter(stage))
    assert len(words) == len(labels) == 4
    lengths = [sum(w == b"a" for w in row) for row in words.numpy()]
    assert set(lengths) <= {1, 2, 3, 4}


def test_endless_single_images_of_many_sizes_stay_endless():
    source = images_of_many_sizes().repeat()
    stage = resampling.resample(source, WEIGHTS, seed=0)
    assert stage.cardinality() == tf.data.INFINITE_CARDINALITY
