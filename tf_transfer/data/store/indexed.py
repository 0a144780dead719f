"""Framed images that are read by index, from memory or from disk."""

import hashlib
import os
import threading
import weakref
from collections.abc import Sequence

import numpy as np

_MOST_READ = 2**24  # bytes at a time
_ONE_THREAD = threading.Lock()  # opens files


class StoredArray:
    """Images in a file, one after the other, read when they are asked for.

    They do not count as memory of the process: the operating system keeps what
    it has room for.

    Args:
        path: the file.
        shape: `[N, size, size, channels]` of its bytes.
        digests: a number for the content of each image, `[N]` uint64.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        shape: tuple[int, ...],
        digests: np.ndarray,
    ):
        self.path, self.shape, self.digests = os.fspath(path), shape, digests
        self._size = int(np.prod(shape[1:]))
        self._descriptor: int | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Returns the images of some rows, `[len(rows), ...]` uint8."""
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        buffer, size = memoryview(images.reshape(-1)), self._size
        if len(rows) and (np.diff(rows) == 1).all():
            self._fill(buffer, int(rows[0]) * size)
            return images
        for place, row in enumerate(rows.tolist()):
            part = buffer[place * size : (place + 1) * size]
            self._fill(part, row * size)
        return images

    def _fill(self, part: memoryview, place: int) -> None:
        """Reads from a place of the file on."""
        descriptor = self._opened()
        while part:
            size = min(len(part), _MOST_READ)
            content = os.pread(descriptor, size, place)
            if not content:
                raise OSError(
                    "The file of stored images is cut off; `tf-transfer cache "
                    f"--clear` removes it. Received: {self.path}"
                )
            part[: len(content)] = content
            part, place = part[len(content) :], place + len(content)

    def _opened(self) -> int:
        """Returns the file, opened by each process for itself."""
        with _ONE_THREAD:
            if self._descriptor is None:
                flags = os.O_RDONLY | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags)
                weakref.finalize(self, os.close, self._descriptor)
            return self._descriptor

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_descriptor": None}


class IndexedImages:
    """Framed images, read by index: a stand-in for one array of them.

    It has the `shape`, `dtype` and `ndim` of an array; indexing returns an
    array of what was asked for. Only the indices are in memory, and those of
    the parts that are arrays.

    Args:
        parts: arrays `[M, size, size, channels]` uint8, `StoredArray`, or
            `DecodedImages`, of one shape but for M.
        indices: of the images, `[N]`, counted over all parts; None for all.

    Example:

    >>> images = IndexedImages([np.zeros((4, 8, 8, 1), np.uint8)])
    >>> images.shape, images.take([2, 0, 1])[1:].shape
    ((4, 8, 8, 1), (2, 8, 8, 1))
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        parts: Sequence[np.ndarray | StoredArray],
        indices: np.ndarray | None = None,
    ):
        self.parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        if indices is not None:
            indices = np.asarray(indices, np.int64)
        self._indices = indices

    def __len__(self) -> int:
        indices = self._indices
        return int(self._starts[-1]) if indices is None else len(indices)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self.parts[0].shape[1:]

    @property
    def nbytes(self) -> int:
        """The bytes that are in memory."""
        arrays = [part for part in self.parts if isinstance(part, np.ndarray)]
        indices = 0 if self._indices is None else self._indices.nbytes
        return sum(array.nbytes for array in arrays) + indices

    def take(self, indices: np.ndarray) -> "IndexedImages":
        """Returns the images of some indices, without reading them."""
        return IndexedImages(self.parts, self._places(np.asarray(indices)))

    def __getitem__(self, index) -> np.ndarray:
        """Reads an image, or those of a slice, of indices or of a mask."""
        if isinstance(index, int | np.integer):
            return self[np.array([index])][0]
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        index = np.asarray(index)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        places = self._places(index)
        part_of = np.searchsorted(self._starts, places, side="right") - 1
        images = np.empty((len(places), *self.shape[1:]), np.uint8)
        for number in np.unique(part_of):
            rows = np.flatnonzero(part_of == number)
            inside = places[rows] - self._starts[number]
            images[rows] = self.parts[number][inside]
        return images

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or np.uint8, copy=False)

    def digests(self) -> np.ndarray:
        """Returns numbers for the contents of the images, uint64.

        One for each, but for those that are decoded whenever they are read.
        """
        numbers, known = [], []
        for part in self.parts:
            found = _digests_of(part)
            known.append(np.full(len(part), found is not None))
            if found is None:
                found = np.zeros(len(part), np.uint64)
            numbers.append(found)
        numbers, known = np.concatenate(numbers), np.concatenate(known)
        if self._indices is not None:
            numbers, known = numbers[self._indices], known[self._indices]
        return numbers[known]

    def name(self) -> str:
        """Returns what tells the images where their contents are unknown.

        Empty if none of them is decoded whenever it is read.
        """
        names = [getattr(part, "name", "") for part in self.parts]
        if not any(names):
            return ""
        digest = hashlib.sha256(self._places(np.arange(len(self))))
        for part, name in zip(self.parts, names, strict=True):
            digest.update(name.encode() if name else _digests_of(part))
        return digest.hexdigest()

    def _places(self, indices: np.ndarray) -> np.ndarray:
        """Returns where images lie in all parts, one after the other."""
        indices = indices.astype(np.int64)
        indices = np.where(indices < 0, indices + len(self), indices)
        if self._indices is not None:
            return self._indices[indices]
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"There are {len(self)} images.")
        return indices


def _digests_of(part) -> np.ndarray | None:
    """Returns a number for each image of a part, `[M]`; None if unknown."""
    return digests(part) if isinstance(part, np.ndarray) else part.digests


def digests(images: np.ndarray) -> np.ndarray:
    """Returns a number for the content of each image, `[N]` uint64."""
    return np.array(
        [
            int.from_bytes(
                hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "big"
            )
            for image in images
        ],
        np.uint64,
    )


def joined(
    parts: Sequence[np.ndarray | IndexedImages],
) -> np.ndarray | IndexedImages:
    """Returns images one after the other, in memory if all are."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    inner, indices, offset = [], [], 0
    for part in parts:
        if isinstance(part, np.ndarray):
            part = IndexedImages([part])
        inner += part.parts
        indices.append(part._places(np.arange(len(part))) + offset)
        offset += int(part._starts[-1])
    return IndexedImages(inner, np.concatenate(indices))
