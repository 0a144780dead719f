import numpy as np
import pytest

from tf_transfer.data.raw import pixel_values
from tf_transfer.errors import InputError


@pytest.mark.parametrize(
    ("largest", "maximum"),
    [
        (0, 255),
        (255, 255),
        (256, 1023),
        (1023, 1023),
        (4000, 4095),
        (4096, 16383),
        (16384, 65535),
        (65535, 65535),
    ],
)
def test_16_bits_hold_fewer(largest, maximum):
    assert pixel_values.full_brightness_of_16_bits(largest) == maximum


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 4)),
        np.full((2, 2), -1),
        np.full((2, 2), np.nan),
        np.full((2, 2), 2e9),
        np.full((2, 2), 1j),
        np.full((2, 2), "a"),
    ],
)
def test_refuses_what_are_no_pixels(image):
    with pytest.raises(InputError):
        pixel_values.check_values(image)


GREY = np.array([0, 51, 102, 204])


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (GREY.astype(np.uint8), GREY / np.float32(255)),
        (GREY / np.float32(255), GREY.astype(np.uint8)),
        (GREY.astype(np.uint8), GREY.astype(np.float64)),
        (GREY.astype(np.uint8), GREY.astype(np.int64)),
        (GREY.astype(np.uint16), GREY.astype(np.uint8)),
        (GREY.astype(np.uint8), (GREY * 257).astype(np.uint16)),
        (GREY.astype(np.int32), GREY / 255),
        (GREY.astype(np.float32) + np.float32(0.25), GREY.astype(np.uint8)),
    ],
)
def test_parts_of_different_types_get_one_range(train, test, capsys):
    shared = pixel_values.share_range({"train": train, "test": test})
    one, two = shared.values()
    assert one.dtype == two.dtype
    unit = 255.0 if one.dtype == np.uint8 else 1.0
    tolerance = 1e-6 if (train == np.rint(train)).all() else 1e-3
    for part in (one, two):
        if part is one and train[0] == 0.25:
            part = part - 0.25 / 255
        np.testing.assert_allclose(part / unit, GREY / 255, atol=tolerance)
    assert "train in 0..255" in capsys.readouterr().err or train[1] < 1


def test_a_mask_and_grey_values():
    mask, grey = np.array([True, False]), np.array([255, 0], np.uint8)
    for part in pixel_values.share_range({"a": mask, "b": grey}).values():
        assert part.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (GREY / 255, GREY.astype(np.float64)),
        (GREY.astype(np.float32), (GREY / 255).astype(np.float32)),
        (np.array([0.8]), np.array([2.0])),
        (GREY.astype(np.uint16), (GREY * 257).astype(np.uint16)),
        (GREY.astype(np.uint8), np.array([7.3])),
        (GREY.astype(np.uint8), np.array([100_000])),
    ],
)
def test_ranges_in_doubt_are_refused(train, test):
    with pytest.raises(
        InputError, match=r"Received: train of .* up to (204|0.8)"
    ):
        pixel_values.share_range({"train": train, "test": test})


@pytest.mark.parametrize("dtype", ["uint8", "float32", ">f4", "uint16"])
def test_parts_of_one_type_stay_as_they_are(dtype):
    train, dark = GREY.astype(dtype), (GREY // 3).astype(dtype)
    shared = pixel_values.share_range({"train": train, "test": dark})
    assert shared["train"] is train
    assert shared["test"] is dark


def test_half_precision_is_checked_without_a_warning():
    pixel_values.check_values(np.ones((2, 2), np.float16))
