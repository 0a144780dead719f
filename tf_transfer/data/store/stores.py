"""Makes stores of framed images, and finds them again.

A store is a folder of the cache: the framed images of one data set, one after
the other, in `images.bin`. It is found by its key, which tells the files of the
data set, their sizes and times, its labels, and the settings of the framing. It
is whole once `store.json` is there. One whose making was interrupted is
continued where it stopped, by `progress.json`.
"""

import atexit
import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tf_transfer.data.bulk_framing import CHUNK, BulkFramer
from tf_transfer.data.framing import Frame
from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.data.raw.reading import ImageReader
from tf_transfer.data.store import cache, indexed
from tf_transfer.data.store.indexed import IndexedImages, StoredArray
from tf_transfer.errors import InputError
from tf_transfer.utils.progress import note
from tf_transfer.utils.storage.folders import Folder
from tf_transfer.utils.storage.json_fields import Fields

_IMAGES, _DIGESTS = "images.bin", "digests.bin"
_WHOLE, _PROGRESS = "store.json", "progress.json"
_MOST = 2**30  # bytes of a JSON file
_BETWEEN = 2**26  # bytes of images between two notes of the progress
_TOLD = 0.1  # share of the images between two notes to the user
_DIGEST = np.dtype(np.uint64)
_REFUSED = ("unreadable", "too_large")
_PAUSE = 0.5  # seconds between two looks at another process


def key(
    raw: RawImages, settings: dict[str, Any], elsewhere: bool = False
) -> str:
    """Returns the name of the store for a data set and its framing.

    Args:
        raw: the data set, which knows its files.
        settings: of the framing, by name.
        elsewhere: whether a copy of the files in another folder has the same
            name.
    """
    limit = getattr(raw.images, "max_pixels", 0)
    known = json.dumps([settings, limit], sort_keys=True)
    digest = hashlib.sha256(known.encode())
    paths = list(map(os.path.abspath, raw.files))
    shared = os.path.commonpath(paths) if elsewhere and paths else ""
    for path in paths:
        line = path[len(shared) :]
        try:
            status = os.stat(path)
            line += f"\0{status.st_size}\0"
            line += "" if elsewhere else str(status.st_mtime_ns)
        except OSError:
            line += "\0absent"
        digest.update(f"{line}\n".encode("utf-8", "surrogateescape"))
    test = [] if raw.test is None else raw.test  # it is not measured
    for numbers in (raw.labels, test):
        digest.update(np.ascontiguousarray(numbers, np.int64))
    names = "\n".join(raw.class_names)
    digest.update(names.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def framed(
    raw: RawImages,
    reader: ImageReader,
    measured: Callable[[], Frame],
    settings: dict[str, Any],
    name: str,
    place: str | os.PathLike = "",
) -> tuple[IndexedImages, Frame, str]:
    """Returns the framed images of a data set, stored on disk.

    Args:
        raw: the data set, which knows its files.
        reader: of its images; it notes those that cannot be read.
        measured: measures the data set.
        settings: of the framing, by name.
        name: of the data set, for messages.
        place: of the cache; see `cache.folder`.

    Returns:
        The images, their frame, and the SHA-256 of images, labels and names.

    Raises:
        InputError: if the disk is short of room, the cache cannot be written,
            or an image cannot be framed.
    """
    name_of_store = key(raw, settings)
    if not raw.files:  # nothing tells whether it is the same another time
        name_of_store = f"temporary-{uuid.uuid4().hex}"
    folder = cache.opened(place, name_of_store)
    if not raw.files:
        atexit.register(shutil.rmtree, folder.path, ignore_errors=True)
    store = _Store(folder, name)
    with store.locked():
        if not folder.has(_WHOLE):
            store.make(raw, reader, measured())
    return store.open(reader)


class _Store:
    """One store.

    Args:
        folder: of the store.
        name: of the data set, for messages.
    """

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Waits until no other process makes the store."""
        waits = False
        while not self._folder.lock():
            if not waits:
                note(f"another process stores the images of {self._name}")
            waits = True
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            self._folder.unlock()

    def open(self, reader: ImageReader) -> tuple[IndexedImages, Frame, str]:
        """Returns the images of a whole store, their frame and their hash."""
        fields = self._read(_WHOLE)
        frame = Frame.from_json(fields.object("frame"))
        count = fields.integer("count", 1, len(reader))
        _note_refused(reader, fields)
        shape = (count, frame.size, frame.size, frame.channels)
        path = self._folder.path / _IMAGES
        numbers = np.fromfile(self._folder.path / _DIGESTS, _DIGEST)
        if len(numbers) != count or path.stat().st_size != np.prod(shape):
            fields.refuse("count", "the number of stored images")
        images = IndexedImages([StoredArray(path, shape, numbers)])
        return images, frame, fields.text("sha256")

    def make(self, raw: RawImages, reader: ImageReader, frame: Frame) -> None:
        """Frames all images, or the rest of them after an interruption."""
        count, start = len(reader), 0
        if self._folder.has(_PROGRESS):
            fields = self._read(_PROGRESS)
            start = fields.integer("done", 0, count) // CHUNK * CHUNK
            _note_refused(reader, fields)
        size = frame.size**2 * frame.channels
        sizes = {_IMAGES: size, _DIGESTS: _DIGEST.itemsize}
        self._reserve({name: count * each for name, each in sizes.items()})
        note(
            f"storing {count:,} framed images of {self._name}: "
            f"{count * size / 2**30:.2f} GiB in {self._folder.path}, which "
            "`tf-transfer cache --clear` removes"
        )
        self._fill(reader, frame, start, size)
        content = _refused(reader, count)
        content |= {"count": count, "frame": dataclasses.asdict(frame)}
        content["sha256"] = self._hash(raw)
        self._folder.write(_WHOLE, json.dumps(content).encode())
        with contextlib.suppress(FileNotFoundError):
            self._folder.remove(_PROGRESS)

    def _fill(
        self, reader: ImageReader, frame: Frame, start: int, size: int
    ) -> None:
        done, noted, path = start, start, self._folder.path
        told = 0.0
        with (
            open(path / _IMAGES, "r+b", buffering=0) as images,
            open(path / _DIGESTS, "r+b", buffering=0) as numbers,
        ):
            images.seek(start * size)
            numbers.seek(start * _DIGEST.itemsize)
            for chunk in BulkFramer(frame, reader).chunks(start):
                images.write(memoryview(chunk).cast("B"))
                numbers.write(memoryview(indexed.digests(chunk)).cast("B"))
                done += len(chunk)
                if (done - noted) * size >= _BETWEEN:
                    os.fsync(images)
                    os.fsync(numbers)
                    self._note_progress(reader, done)
                    noted = done
                    share = done / len(reader)
                    if share >= told + _TOLD:
                        told = share
                        note(f"storing the images of {self._name}: {share:.0%}")
            os.fsync(images)
            os.fsync(numbers)

    def _note_progress(self, reader: ImageReader, done: int) -> None:
        content = {"done": done, **_refused(reader, done)}
        self._folder.write(_PROGRESS, json.dumps(content).encode())

    def _hash(self, raw: RawImages) -> str:
        """Returns the hash of images, labels and names: see `ImageData`."""
        with open(self._folder.path / _IMAGES, "rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        digest.update(np.ascontiguousarray(raw.labels, np.int32))
        names = "\n".join(raw.class_names)
        digest.update(names.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _reserve(self, sizes: dict[str, int]) -> None:
        """Makes files of some sizes, so that the disk cannot be full later."""
        path, needed = self._folder.path, sum(sizes.values())
        there = cache.size(path)
        free = shutil.disk_usage(path).free + there
        try:
            if free < needed:
                raise OSError
            for name, size in sizes.items():
                with open(path / name, "a+b") as file:
                    if hasattr(os, "posix_fallocate"):
                        os.posix_fallocate(file.fileno(), 0, size)
                    file.truncate(size)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise InputError(
                f"The framed images need {needed / 2**30:.2f} GiB on the disk, "
                f"and {free / 2**30:.2f} GiB are free: choose another place by "
                "`data.cache`, or a smaller `image_size`. Received: "
                f"{self._name}, {path}"
            ) from error

    def _read(self, name: str) -> Fields:
        content = self._folder.read_json(name, dict, _MOST)
        return Fields(content, name, self._folder.path / name)


def _refused(reader: ImageReader, before: int) -> dict[str, list[int]]:
    """Returns which of the first images could not be read."""
    found = {}
    for name in _REFUSED:  # other threads may be reading on
        some = [i for i in getattr(reader, name).copy() if i < before]
        if some:
            found[name] = sorted(some)
    return found


def _note_refused(reader: ImageReader, fields: Fields) -> None:
    """Tells a reader which images could not be read before."""
    for name in _REFUSED:
        getattr(reader, name).update(map(int, fields.numbers(name, ())))
