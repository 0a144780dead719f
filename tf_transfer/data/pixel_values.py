"""The range of pixel values: which value stands for full brightness."""

from collections.abc import Sequence

import numpy as np

from tf_transfer.errors import InputError

_LARGEST = 1e9
_BITS = (8, 10, 12, 14, 16)  # of cameras and scanners


def check_values(image: np.ndarray) -> None:
    """Raises InputError if a pixel is negative, not finite or too large."""
    if not image.size:
        raise InputError(
            f"An image must have pixels. Received: shape {image.shape}"
        )
    if image.dtype.kind not in "biuf" or image.max() > _LARGEST:
        raise InputError(
            f"Pixels must be real numbers up to {_LARGEST:g}. "
            f"Received: {image.dtype}, for example {image.flat[0]}"
        )
    if not (np.isfinite(image).all() and image.min() >= 0):
        bad = image[~(np.isfinite(image) & (image >= 0))].flat[0]
        raise InputError(
            f"Pixels must be finite and not negative. Received: {bad}"
        )


def full_brightness(images: Sequence[np.ndarray]) -> float:
    """Returns the stored value that stands for full brightness, by the type."""
    largest = max(float(image.max(initial=0)) for image in images)
    dtype = images[0].dtype
    if dtype in (np.uint8, np.uint16):
        return float(np.iinfo(dtype).max)
    if np.issubdtype(dtype, np.integer):
        return max(255.0, largest)
    return max(1.0, largest)


def full_brightness_of_16_bits(largest: float) -> float:
    """Returns the largest number of the fewest bits that hold a value.

    Pixels of 8, 10, 12 or 14 bits are often stored in 16.

    >>> full_brightness_of_16_bits(4000)
    4095.0
    """
    depth = next(bits for bits in _BITS if largest < 2**bits)
    return 2.0**depth - 1
