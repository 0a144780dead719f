import numpy as np
import pytest

from tf_transfer.data import pixel_values
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
