"""The range of pixel values: which value stands for full brightness."""

from collections.abc import Sequence

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils.progress import fact

_LARGEST = 1e9
_BITS = (8, 10, 12, 14, 16)  # of cameras and scanners
_OVERSHOOT = 1.05  # of resized images beyond 0..1
_UNLIKE = 1.5
_BRIGHT = 64.0


def check_values(image: np.ndarray) -> None:
    """Raises InputError if a pixel is negative, not finite or too large."""
    if not image.size:
        raise InputError(
            f"An image must have pixels. Received: shape {image.shape}"
        )
    if image.dtype.kind not in "biuf" or float(image.max()) > _LARGEST:
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


def share_range(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Brings the parts of a data set to one type and one range of values.

    Parts of one type stay as they are.

    Args:
        parts: the images of each part, by name.

    Returns:
        Parts of one type: uint8 if all are in 0..255, or else float32 in 0..1.

    Raises:
        InputError: if their ranges contradict each other, or cannot be told.

    Example:

    >>> train, test = np.array([51], np.uint8), np.array([0.2], np.float32)
    >>> shared = share_range({"x_train": train, "x_test": test})
    >>> [float(part[0]) for part in shared.values()]
    [0.20000000298023224, 0.20000000298023224]
    """
    parts = {name: part for name, part in parts.items() if part.size}
    if all(part.dtype == np.uint8 for part in parts.values()):
        return parts
    largest = {name: float(part.max()) for name, part in parts.items()}
    types = {part.dtype.newbyteorder("=") for part in parts.values()}
    received = ", ".join(
        f"{name} of {part.dtype} up to {largest[name]:g}"
        for name, part in parts.items()
    )
    if len(types) <= 1:
        if not _alike(list(largest.values()), types):
            raise InputError(
                "The parts of a data set must have one range of pixel values, "
                f"such as 0..1 or 0..255. Received: {received}"
            )
        return parts
    ranges = {name: _range(part) for name, part in parts.items()}
    if None in ranges.values():
        raise InputError(
            "Parts of different types must hold pixels in 0..1, 0..255 or the "
            f"whole range of 16 bits. Received: {received}"
        )
    fact(
        "pixel values: "
        + ", ".join(f"{name} in 0..{top:g}" for name, top in ranges.items())
    )
    if set(ranges.values()) == {255.0} and all(map(_whole, parts.values())):
        return {name: part.astype(np.uint8) for name, part in parts.items()}
    return {
        name: part.astype(np.float32) / np.float32(ranges[name])
        for name, part in parts.items()
    }


def _alike(largest: list[float], types: set) -> bool:
    """Whether parts of one type can be in one range."""
    low, high = min(largest, default=0), max(largest, default=0)
    (dtype,) = types or {np.dtype(np.uint8)}
    if dtype.kind == "f":
        # A black part has any range; a dark one of 0..255 is above 1.
        return not (0 < low <= _OVERSHOOT < high and high > _UNLIKE * low)
    if dtype == np.uint16:
        return not (1 < low <= 255 and high > 4095)
    return True


def _range(part: np.ndarray) -> float | None:
    """Returns the value of full brightness of one part, or None in doubt."""
    largest, kind = float(part.max()), part.dtype.kind
    if kind == "b" or (kind == "f" and largest <= _OVERSHOOT):
        return 1.0
    if part.dtype == np.uint8:
        return 255.0
    if kind in "iu" and largest < 2 ** _BITS[-1]:
        return full_brightness_of_16_bits(largest)
    if kind == "f" and largest <= 255 and (largest >= _BRIGHT or _whole(part)):
        return 255.0
    return None


def _whole(part: np.ndarray) -> bool:
    """Whether all values are whole numbers."""
    return part.dtype.kind in "iu" or bool((part == np.rint(part)).all())
