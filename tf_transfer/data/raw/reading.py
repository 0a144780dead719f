"""Reads the images of a data set, in one unit, past those that are damaged."""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from tf_transfer.data.raw import pixel_values
from tf_transfer.data.raw.image_files import (
    TooLargeImageError,
    UnreadableImageError,
)
from tf_transfer.errors import InputError
from tf_transfer.utils.progress import fact

_MOST_NAMES = 20
_MEASURED_SIDE = 256
_NOTHING = np.zeros((1, 1, 1), np.uint8)


class ImageReader(Sequence):
    """A sequence of images in one unit, whatever their types.

    An image that cannot be read is noted, and a black pixel stands for it.

    Args:
        images: `[N, H, W]` or `[N, H, W, channels]`, or a sequence of images
            of any sizes.

    Attributes:
        unreadable, too_large: indices of files that were refused so far.
        maximum: of 16-bit images, the stored value of full brightness; None
            if there are none. It is the unit of 8-bit images between them, too.
    """

    def __init__(self, images: np.ndarray | Sequence[np.ndarray]):
        self.images = images
        self.unreadable: set[int] = set()
        self.too_large: set[int] = set()
        self.maximum: float | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> np.ndarray:
        image = self._read(index)
        if self.maximum is not None and image.dtype == np.uint8:
            return image.astype(np.float32) * np.float32(self.maximum / 255)
        if self.maximum is None and image.dtype == np.uint16:
            return (image // 256).astype(np.uint8)  # none was in the sample
        return image

    def sample(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Returns the readable images of some indices, and sets the unit.

        Only every n-th pixel of a large image is kept.

        Raises:
            InputError: if no image can be read.
        """
        images = {i: reduced(self._read(i)) for i in map(int, indices)}
        images = {i: x for i, x in images.items() if i not in self.refused}
        if not images:
            for i in range(len(self)):
                self._read(i)
            self.check(skip=False)
        if any(image.dtype == np.uint16 for image in images.values()):
            brightest = self._brightest_of_16_bits()
            self.maximum = pixel_values.full_brightness_of_16_bits(brightest)
            fact(
                f"16-bit pixels, at most {brightest}: {self.maximum:.0f} is "
                "taken for full brightness"
            )
            images = {i: reduced(self[i]) for i in images}
        return list(images.values())

    @property
    def refused(self) -> set[int]:
        return self.unreadable | self.too_large

    def check(self, skip: bool, what: str = "Left out are") -> np.ndarray:
        """Returns the indices of the images that could be read.

        Args:
            skip: warn of files that cannot be decoded, instead of raising.
            what: is done about them, for the warning.

        Raises:
            InputError: that lists all files that were refused.
        """
        kept = np.setdiff1d(np.arange(len(self)), sorted(self.refused))
        sentences = []
        if self.unreadable and not (skip and len(kept)):
            sentences.append(
                f"{len(self.unreadable)} image files cannot be read; replace "
                "them, or leave them out by `data.damaged=skip`. "
                f"Received: {self._names(self.unreadable)}"
            )
        if self.too_large:
            sentences.append(
                f"{len(self.too_large)} image files have more than "
                f"{self.images.max_pixels} pixels (`data.max_pixels`). "
                f"Received: {self._names(self.too_large)}"
            )
        if sentences:
            raise InputError("; ".join(sentences))
        if self.unreadable:
            warnings.warn(
                f"{what} {len(self.unreadable)} image files that cannot be "
                f"read: {self._names(self.unreadable)}",
                stacklevel=4,
            )
        return kept

    def _read(self, index: int) -> np.ndarray:
        try:
            image = np.asarray(self.images[index])
            return image.astype(image.dtype.newbyteorder("="), copy=False)
        except UnreadableImageError:
            self.unreadable.add(index)
        except TooLargeImageError:
            self.too_large.add(index)
        return _NOTHING

    def _brightest_of_16_bits(self) -> int:
        """Returns the largest value of all 16-bit images."""
        images = (self._read(i) for i in range(len(self)))
        return max(
            int(image.max(initial=0))
            for image in images
            if image.dtype == np.uint16
        )

    def _names(self, indices: set[int]) -> str:
        """Lists files as words of a shell; not all, if there are many."""
        names = [
            self.images.shell_word(i) for i in sorted(indices)[:_MOST_NAMES]
        ]
        more = len(indices) - len(names)
        return " ".join(names) + (f" and {more} more" if more else "")


def reduced(image: np.ndarray) -> np.ndarray:
    """Keeps every n-th pixel of an image too large to measure cheaply."""
    step = max(1, max(np.shape(image)[:2], default=1) // _MEASURED_SIDE)
    # A view would keep the whole image in memory.
    return image[::step, ::step].copy() if step > 1 else image
