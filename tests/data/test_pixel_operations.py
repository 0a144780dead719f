import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tf_transfer.data import pixel_operations


@pytest.mark.parametrize(("side", "size"), [(30, 12), (30, 30), (12, 30)])
def test_resampling_is_that_of_pillow(side, size):
    row = np.random.default_rng(0).random((1, side)).astype(np.float32)
    (matrix,) = pixel_operations.resampling(
        tf.constant(float(side)), tf.constant(size / side), size
    )
    resized = PIL.Image.fromarray(row).resize(
        (size, 1), PIL.Image.Resampling.BILINEAR
    )
    np.testing.assert_allclose(
        matrix.numpy() @ row[0], np.asarray(resized)[0], atol=1e-5
    )
    np.testing.assert_allclose(np.sum(matrix, axis=1), 1, atol=1e-6)


def test_a_frame_larger_than_the_image_is_padded_with_zeros():
    (matrix,) = pixel_operations.resampling(
        tf.constant(4.0), tf.constant(1.0), 8
    )
    np.testing.assert_array_equal(matrix, np.pad(np.eye(4), ((2, 2), (0, 0))))


def test_transparent_pixels_are_unlike_the_rest():
    colour = np.full((2, 2, 2, 1), 0.9, np.float32)
    colour[1] = 0.1
    alpha = np.ones((2, 2, 2, 1), np.float32)
    alpha[:, 0, 0] = 0
    result = pixel_operations.opaque(colour, alpha).numpy()
    assert result[:, 0, 0, 0].tolist() == [0, 1]
    np.testing.assert_array_equal(result[:, 1], colour[:, 1])


def test_the_middle_of_ink_and_of_an_empty_image():
    ink = np.zeros((2, 9, 12), np.float32)
    ink[0, 2:5, 6:8] = 1
    rows, columns = pixel_operations.middles(
        tf.constant(ink), tf.constant([9.0, 12.0])
    )
    assert rows.numpy().tolist() == [3.5, 4.5]
    assert columns.numpy().tolist() == [7, 6]


def test_levels_round_up_from_a_half():
    values = np.array([-1, 0, 0.4995, 0.5, 100 / 255 + 0.5 / 255, 2])
    assert pixel_operations.levels(values).numpy().tolist() == [
        *(0, 0, 127, 128, 101, 255)
    ]
    assert pixel_operations.luma(np.ones((2, 2, 3))).tolist() == [[1, 1]] * 2
