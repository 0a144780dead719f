import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.data.augmentation import KINDS, augment

KINDS = KINDS[1:]


def batches(count=4, channels=3):
    """Different batches of gradients, each with labels and weights."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 1, 12, dtype=np.float32)
    images = rng.random((count, 6, 1, 1, channels), np.float32)
    images = images * slope[:, None] * slope[:, None, None]
    data = (images, np.tile(np.arange(6), (count, 1)), np.ones((count, 6)))
    return tf.data.Dataset.from_tensor_slices(data)


def read(dataset):
    return [tuple(np.array(x) for x in batch) for batch in dataset]


def test_none_changes_nothing():
    data = batches()
    assert augment(data, "none", seed=[0]) is data


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_images_change_and_stay_images(kind, channels):
    data = batches(channels=channels)
    for (before, *rest), (after, *same) in zip(
        read(data), read(augment(data, kind, seed=[0])), strict=True
    ):
        assert (after.shape, after.dtype) == (before.shape, np.float32)
        assert after.min() >= 0
        assert after.max() <= 1
        assert all(map(np.array_equal, rest, same))
        assert not np.array_equal(before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_a_function_of_seed_and_number(kind):
    data = batches()
    whole = read(augment(data, kind, seed=(1, 2)))
    rest = read(augment(data.skip(2), kind, seed=(1, 2), start=2))
    for one, other in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    other = read(augment(data, kind, seed=(2, 1)))
    assert not np.array_equal(whole[0][0], other[0][0])
    same = data.take(1).repeat(2)
    first, second = read(augment(same, kind, seed=[0]))
    assert not np.array_equal(first[0], second[0])


def test_images_are_mirrored_and_shifted_each_in_its_own_way():
    """By up to an eighth of a side; half of them are mirrored."""
    image = np.zeros((1, 200, 16, 16, 1), np.float32)
    image[:, :, 7:9, 4] = 1
    dataset = tf.data.Dataset.from_tensor_slices((image, np.zeros((1, 200))))
    [(after, _)] = read(augment(dataset, "flip_crop", seed=[0]))
    places = np.arange(16)
    columns = (after.sum(axis=(1, 3)) * places).sum(axis=1)
    columns /= after.sum(axis=(1, 2, 3))
    mirrored = columns > 7.5
    assert 70 < mirrored.sum() < 130
    assert columns[~mirrored].min() >= 4 - 2 - 1e-3
    assert columns[~mirrored].max() <= 4 + 2 + 1e-3
    assert len(np.unique(columns.round(3))) > 100
