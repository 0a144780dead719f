"""Images that are decoded and framed whenever they are asked for."""

import concurrent.futures
import functools
from typing import Any

import numpy as np

from tf_transfer.data.bulk_framing import BulkFramer
from tf_transfer.data.framing import Frame
from tf_transfer.data.raw.reading import ImageReader
from tf_transfer.utils import environment

_CACHED = ("_framer", "_pool")


class DecodedImages:
    """A part of `IndexedImages` that takes neither memory nor disk.

    Args:
        frame: of the data set.
        reader: of its images.
        name: by which they are known again.
        skip: let black images stand for files that cannot be read, with a
            warning, instead of raising.

    Example:

    >>> from tf_transfer.data.framing import Appearance
    >>> reader = ImageReader(np.full((9, 20, 16), 255, np.uint8))
    >>> frame = Frame(8, 1, Appearance(255.0))
    >>> images = DecodedImages(frame, reader, "squares")
    >>> images[np.array([4, 4, 1])].shape
    (3, 8, 8, 1)
    """

    digests = None  # all images would have to be decoded

    def __init__(
        self, frame: Frame, reader: ImageReader, name: str, skip: bool = False
    ):
        self._frame, self._reader, self._skip = frame, reader, skip
        self.name = name
        self.shape = len(reader), frame.size, frame.size, frame.channels
        self._told = len(reader.refused)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Returns the images of some rows, `[len(rows), ...]` uint8.

        Raises:
            InputError: if a file cannot be read.
        """
        different, places = np.unique(rows, return_inverse=True)
        shares = np.array_split(different, environment.processors())
        framed = self._pool.map(self._framer.framed, shares)
        images = np.concatenate(list(framed))[places]
        refused = np.isin(rows, list(self._reader.refused))
        if refused.any():
            self._refuse()
            images[refused] = 0
        return images

    def _refuse(self) -> None:
        """Raises InputError, or warns of images that were not told before."""
        count = len(self._reader.refused)
        if count > self._told or not self._skip:
            self._reader.check(self._skip, "Black images stand for")
            self._told = count

    @functools.cached_property
    def _framer(self) -> BulkFramer:
        return BulkFramer(self._frame, self._reader)

    @functools.cached_property
    def _pool(self) -> concurrent.futures.Executor:
        workers = environment.processors()
        return concurrent.futures.ThreadPoolExecutor(workers)

    def __getstate__(self) -> dict[str, Any]:
        """Returns what another process needs."""
        return {k: v for k, v in self.__dict__.items() if k not in _CACHED}
