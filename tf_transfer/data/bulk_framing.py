"""Frames all images of a data set, in order, on all processors.

Upright 8-bit JPEG and PNG files are decoded and framed by one TensorFlow
function, many at a time. All others are read one by one; see
`data.raw.image_files`. Both give the same pixels.
"""

import collections
import concurrent.futures
import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tf_transfer.data.framing import Frame, as_hwc
from tf_transfer.data.raw import pixel_values
from tf_transfer.data.raw.arrays import JoinedArrays
from tf_transfer.data.raw.image_files import (
    JPEG,
    PNG,
    EncodedImages,
    UnreadableImageError,
    is_upright,
)
from tf_transfer.data.raw.reading import ImageReader
from tf_transfer.utils import environment

CHUNK = 512
"""The number of images that are framed together."""
_MOST_VALUES = 2**24  # of images in memory at full size, for each thread
_MOST_BYTES = 2**25  # of encoded images, likewise
_LARGE_SIDE = 128  # pixels of the shorter side
_MANY_SHAPES = 16  # of images: tracing pays off with more
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type, without palettes
# An orientation, or a colour that stands for transparency, may be stored here.
_JPEG_MARKS = (b"Exif\0", b"http://ns.adobe.com/xap/")
_PNG_MARKS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"tRNS")


class BulkFramer:
    """Frames all images of a data set.

    Args:
        frame: of the data set.
        reader: of its images; it notes those that cannot be read, which become
            black.

    Example:

    >>> from tf_transfer.data.framing import Appearance
    >>> frame = Frame(8, 1, Appearance(255.0))
    >>> framer = BulkFramer(frame, ImageReader(np.zeros((600, 9, 9), np.uint8)))
    >>> [chunk.shape for chunk in framer.chunks()]
    [(512, 8, 8, 1), (88, 8, 8, 1)]
    """

    def __init__(self, frame: Frame, reader: ImageReader):
        self._frame, self._reader = frame, reader
        self._traced = frame.compiled()
        self._decoded = _of_files(
            lambda files: frame(
                tf.map_fn(
                    _decode,
                    files,
                    fn_output_signature=tf.TensorSpec([None] * 3, tf.uint8),
                )
            )
        )
        self._decoded_photographs = _of_files(
            lambda files: tf.map_fn(
                lambda file: frame.photographs(_decode(file, 3)[None])[0],
                files,
                fn_output_signature=tf.uint8,
            )
        )
        self._jpeg_shapes = _of_files(
            lambda files: tf.map_fn(
                tf.image.extract_jpeg_shape,
                files,
                fn_output_signature=tf.TensorSpec([3], tf.int32),
            )
        )

    def chunks(self, start: int = 0) -> Iterator[np.ndarray]:
        """Yields the framed images, `CHUNK` at a time, in order.

        Args:
            start: the first image, a multiple of `CHUNK`. A chunk does not
                depend on it.

        Raises:
            InputError: if an image has a wrong shape or value.
        """
        count, workers = len(self._reader), environment.processors()
        waiting: collections.deque = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            try:
                for first in range(start, count, CHUNK):
                    places = range(first, min(first + CHUNK, count))
                    waiting.append(pool.submit(self.framed, places))
                    if len(waiting) > 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def all(self) -> np.ndarray:
        """Returns all framed images, `[N, size, size, channels]` uint8."""
        size, channels = self._frame.size, self._frame.channels
        shape = (len(self._reader), size, size, channels)
        framed, done = np.empty(shape, np.uint8), 0
        for chunk in self.chunks():
            framed[done : done + len(chunk)] = chunk
            done += len(chunk)
        return framed

    def framed(self, places: Sequence[int]) -> np.ndarray:
        """Returns some framed images, `[len(places), ...]` uint8.

        Args:
            places: of the images, in ascending order.

        Raises:
            InputError: as `chunks`.
        """
        images, chunk = self._reader.images, _Chunk(places, self._frame)
        in_bytes = self._reader.maximum is None
        is_array = isinstance(images, np.ndarray | JoinedArrays)
        if is_array and images.dtype.newbyteorder("=") != np.uint16:
            self._array(chunk)
        elif isinstance(images, EncodedImages) and in_bytes:
            self._one_by_one(self._files(chunk), chunk)
        else:
            self._one_by_one(places, chunk)
        return chunk.images

    def _array(self, chunk: "_Chunk") -> None:
        """Frames images of one array."""
        values = max(1, int(np.prod(self._reader.images.shape[1:])))
        step = max(1, _MOST_VALUES // values)
        for first in range(0, len(chunk.places), step):
            some = chunk.places[first : first + step]
            block = np.stack([as_hwc(x) for x in self._reader.images[some]])
            pixel_values.check_values(block)
            chunk.put(some, self._framed(block))

    def _files(self, chunk: "_Chunk") -> list[int]:
        """Frames the simple files, and returns the places of the others."""
        others, some, size = [], {}, 0
        for i in chunk.places.tolist():
            try:
                some[i] = self._reader.images.content(i)
            except (OSError, UnreadableImageError):
                others.append(i)
                continue
            size += len(some[i])
            if size > _MOST_BYTES:
                others += self._simple(some, chunk)
                some, size = {}, 0
        return sorted(others + self._simple(some, chunk))

    def _simple(self, files: dict[int, bytes], chunk: "_Chunk") -> list[int]:
        """Frames what is simple of some files; returns the other places."""
        groups: dict[tuple, list[int]] = {}
        shapes = self._shapes(files)
        for i, shape in shapes.items():
            key = () if self._is_photograph(shape) else shape
            groups.setdefault(key, []).append(i)
        others = [i for i in files if i not in shapes]
        for shape, group in groups.items():
            step = max(1, _MOST_VALUES // int(np.prod(shape))) if shape else 16
            decoded = self._decoded if shape else self._decoded_photographs
            for first in range(0, len(group), step):
                some = group[first : first + step]
                try:
                    chunk.put(some, decoded([files[i] for i in some]))
                except tf.errors.OpError:  # one of them is damaged
                    others += some
        return others

    def _is_photograph(self, shape: tuple[int, ...]) -> bool:
        """Whether 8-bit images of a shape are framed as photographs."""
        large = min(shape[:2]) >= _LARGE_SIDE and shape[2] in (1, 3)
        return large and self._frame.appearance.background is None

    def _framed(self, images: np.ndarray, frame: Callable | None = None):
        """Frames images of equal size."""
        if images.dtype == np.uint8 and self._is_photograph(images.shape[1:]):
            return self._frame.photographs(images)
        return (frame or self._frame)(images.astype(np.float32))

    def _shapes(self, files: dict[int, bytes]) -> dict[int, tuple[int, ...]]:
        """Returns the shapes of the files that are simple and not too large."""
        jpegs = [i for i, file in files.items() if _is_simple_jpeg(file)]
        shapes = {i: _png_shape(file) for i, file in files.items()}
        try:
            found = self._jpeg_shapes([files[i] for i in jpegs])
            shapes |= zip(jpegs, map(tuple, found.numpy()), strict=True)
        except tf.errors.OpError:
            pass  # one of them is damaged
        most = self._reader.images.max_pixels
        return {
            i: shape
            for i, shape in shapes.items()
            if shape and 0 < shape[0] * shape[1] <= most and shape[2] in (1, 3)
        }

    def _one_by_one(self, some: Sequence[int], chunk: "_Chunk") -> None:
        """Reads and frames images of any kind."""
        by_shape: dict[tuple, list] = {}
        values = 0
        for i in map(int, some):
            image = as_hwc(self._reader[i])
            pixel_values.check_values(image)
            by_shape.setdefault(image.shape, []).append((i, image))
            values += image.size
            if values >= _MOST_VALUES:
                self._groups(by_shape, chunk)
                by_shape, values = {}, 0
        self._groups(by_shape, chunk)

    def _groups(self, by_shape: dict, chunk: "_Chunk") -> None:
        frame = self._traced if len(by_shape) > _MANY_SHAPES else self._frame
        for group in by_shape.values():
            numbers, images = zip(*group, strict=True)
            chunk.put(numbers, self._framed(np.stack(images), frame))


class _Chunk:
    """Images that are framed together.

    Args:
        places: of the images, in ascending order.
        frame: of the data set.
    """

    def __init__(self, places: Sequence[int], frame: Frame):
        self.places = np.asarray(places, np.int64)
        shape = (len(places), frame.size, frame.size, frame.channels)
        self.images = np.empty(shape, np.uint8)

    def put(self, places: Sequence[int], framed: tf.Tensor) -> None:
        """Takes the framed images of some places."""
        rows = np.searchsorted(self.places, places)
        self.images[rows] = framed.numpy()


def _of_files(function: Callable) -> tf.types.experimental.PolymorphicFunction:
    """Returns a traced function of encoded images, `[N]`."""
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(function, input_signature=signature)


def _decode(file: tf.Tensor, channels: int = 0) -> tf.Tensor:
    return tf.io.decode_image(file, channels, expand_animations=False)


def _is_simple_jpeg(file: bytes) -> bool:
    """Whether a file is a JPEG that is surely upright."""
    if not file.startswith(JPEG):
        return False
    if not any(mark in file for mark in _JPEG_MARKS):
        return True
    with contextlib.suppress(UnreadableImageError):
        return is_upright(file)
    return False


def _png_shape(file: bytes) -> tuple[int, ...] | None:
    """Returns the shape of an upright PNG with 8 bits and no palette."""
    if not file.startswith(PNG) or any(mark in file for mark in _PNG_MARKS):
        return None
    try:
        width, height, depth, kind = struct.unpack_from(">IIBB", file, 16)
    except struct.error:
        return None
    channels = _PNG_CHANNELS.get(kind)
    return (height, width, channels) if depth == 8 and channels else None
