"""Arrays of images and of their labels, before framing."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils import messages
from tf_transfer.utils.storage import archives

_MOST_CLASSES = 1_000_000


class JoinedArrays(Sequence):
    """Arrays of images, one after the other, without a copy of them.

    Args:
        parts: `[N, ...]` each, of one type and one shape but for N.

    Example:

    >>> images = JoinedArrays([np.zeros((2, 8, 8)), np.ones((3, 8, 8))])
    >>> len(images), images[np.array([0, 4])].shape
    (5, (2, 8, 8))
    """

    def __init__(self, parts: Sequence[np.ndarray]):
        self.parts = list(parts)
        self.dtype = parts[0].dtype
        self.shape = (sum(map(len, parts)), *parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | np.ndarray) -> np.ndarray:
        """Returns one image, or those of ascending indices."""
        found, start = [], 0
        for part in self.parts:
            inside = np.asarray(index) - start
            if inside.ndim:
                chosen = inside[(inside >= 0) & (inside < len(part))]
                found.append(part[chosen])
            elif inside < len(part):
                return part[inside]
            start += len(part)
        if not found:
            raise IndexError(f"There are {start} images.")
        return np.concatenate(found)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.concatenate(self.parts).astype(dtype or self.dtype)


def join(parts: Sequence[np.ndarray]) -> np.ndarray | JoinedArrays:
    """Returns arrays one after the other; those in files are not read."""
    if any(isinstance(part, np.memmap) for part in parts):
        return JoinedArrays(parts)
    return np.concatenate(parts)


@contextlib.contextmanager
def reading(what: str, path: str) -> Iterator[None]:
    """Raises InputError if a file of NumPy cannot be read inside the block.

    Args:
        what: the kind of file, for the error.
        path: of the file.
    """
    try:
        yield
    except InputError:
        raise
    except archives.DAMAGED as error:
        raise InputError(
            f"The {what} cannot be read ({messages.first_line(error)}). "
            f"Received: {path}"
        ) from error


def check_images(images: np.ndarray, what: str, path: str) -> None:
    """Raises InputError unless an array can hold images.

    Args:
        images: the array.
        what: its name, for errors.
        path: of its file, for errors.
    """
    if images.ndim < 3 or images.dtype.kind not in "biuf":
        raise InputError(
            f"{what} must hold numbers of shape [N, H, W] or [N, H, W, "
            f"channels]. Received: {path} with {images.dtype} of shape "
            f"{images.shape}"
        )


def class_numbers(labels: np.ndarray, what: str, path: str) -> np.ndarray:
    """Returns labels `[N]` or `[N, 1]` as integers `[N]`.

    Args:
        labels: integers, or whole numbers of another type.
        what: their name, for errors.
        path: of their file, for errors.

    Raises:
        InputError: if they are something else, or too large.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:  # as in keras.datasets
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InputError(
            f"{what} must hold one class number per image (of one-hot "
            "vectors, y.argmax(axis=1)). "
            f"Received: {path} with shape {labels.shape}"
        )
    whole = False
    if labels.dtype.kind == "f":
        labels = labels.astype(np.float64)
        whole = np.isfinite(labels).all() and not (labels % 1).any()
    numbers = labels.dtype.kind in "iu" or whole
    if not numbers or (labels > _MOST_CLASSES).any():
        raise InputError(
            f"{what} must hold class numbers up to {_MOST_CLASSES}. "
            f"Received: {path} with {labels.dtype}, for example {labels[:1]}"
        )
    return labels.astype(np.int64) if whole else labels
