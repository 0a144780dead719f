"""Loads data sets by name, and frames them.

When data sets are joined (`"glyphs+npz:more.npz"`), their classes stay apart,
and each is measured and framed on its own (see `framing`). Those that are large
are stored on the disk (see `store`).
"""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.data import framing
from tf_transfer.data.bulk_framing import BulkFramer
from tf_transfer.data.image_data import ImageData, join
from tf_transfer.data.raw import examples, image_files, loaders, reading
from tf_transfer.data.store import stores
from tf_transfer.data.store.decoded import DecodedImages
from tf_transfer.data.store.indexed import IndexedImages
from tf_transfer.errors import InputError
from tf_transfer.utils import checks, environment
from tf_transfer.utils.progress import fact

_MEASURED, _KNOWN = 1000, 32
# A path may contain a plus, too.
_JOINT = re.compile(rf"\+(?=(?:{'|'.join(loaders.LOADERS)})(?:[:+]|$))")
_MOST_MEMORY = 0.5  # share of it
_LARGE_SIDE, _MOST_STORED = 128, 2**33  # pixels, bytes


def load(
    name: str,
    size: int,
    channels: int,
    align: bool = True,
    max_pixels: int = image_files.MAX_PIXELS,
    damaged: str = "refuse",
    memory_share: float = 1.0,
    cache: str = "",
    decode: str = "auto",
) -> ImageData:
    """Loads data sets by name (see `loaders`) and frames them.

    Args:
        name: one data set, or several joined by `+`.
        size: side of the framed images in pixels.
        channels: 1 for grey, 3 for colour.
        align: False skips measuring: every image is scaled to the frame.
        max_pixels: an encoded image with more pixels is refused before it is
            decoded.
        damaged: `refuse` data with image files that cannot be read, or `skip`
            them with a warning.
        memory_share: a data set whose framed images would take a larger share
            of the memory is stored on the disk, and read from there.
        cache: the folder of such stores; see `store.cache.folder`.
        decode: `once` frames all images now; `as_needed` whenever they are
            read, which takes neither memory nor disk. `auto` is `once`, unless
            large images would take more than 8 GiB.

    Returns:
        The images, `[N, size, size, channels]` uint8, with their labels.

    Raises:
        InputError: if the name is unknown, or the data cannot be read or
            framed.

    Example:

    >>> load("digits", size=12, channels=1).images.shape
    (1797, 12, 12, 1)
    """
    parts = (
        (loaders.load(part, max_pixels), part) for part in part_names(name)
    )
    return join(
        [
            frame(
                raw,
                size,
                channels,
                align,
                part,
                damaged,
                memory_share,
                cache,
                decode,
            )
            for raw, part in parts
        ]
    )


def part_names(name: str) -> list[str]:
    """Splits a name at the plus signs that join data sets."""
    return _JOINT.split(name)


def frame(
    raw: image_files.RawImages,
    size: int,
    channels: int,
    align: bool = True,
    name: str = "data",
    damaged: str = "refuse",
    memory_share: float = 1.0,
    cache: str = "",
    decode: str = "auto",
) -> ImageData:
    """Measures one data set on a sample of its images and frames them all."""
    count = len(raw.labels)
    if not count:
        raise InputError(f"The data set has no images. Received: {name!r}")
    form = _form(raw, size, channels, memory_share, decode)
    if form == "memory":
        _check_memory(count * size * size * channels, name)
    reader = reading.ImageReader(raw.images)
    settings = {"size": size, "channels": channels, "align": align}
    measured = functools.partial(_measured, raw, reader, **settings)
    known = ""
    try:
        if form == "store":
            images, framer, known = stores.framed(
                raw, reader, measured, settings, name, cache
            )
        elif form == "as_needed":
            framer = measured()
            key = stores.key(raw, settings, elsewhere=True)
            part = DecodedImages(framer, reader, key, damaged == "skip")
            part.name += _sample_digest(part)
            _note_decoding(part, name)
            images = IndexedImages([part])
        else:
            framer = measured()
            images = BulkFramer(framer, reader).all()
        kept = reader.check(skip=damaged == "skip")
        labels = np.asarray(raw.labels)
        checks.check_labels(labels, len(raw.class_names))
    except InputError as error:
        raise InputError(f"Data set {name!r}: {error}") from error
    labels = labels.astype(np.int32)
    framed = ImageData(images, labels, raw.class_names, raw.test, framer, known)
    return framed if len(kept) == count else _without_damaged(framed, kept)


def _form(
    raw: image_files.RawImages,
    size: int,
    channels: int,
    memory_share: float,
    decode: str,
) -> str:
    """Returns whether framed images lie in `memory`, in a `store`, or nowhere.

    In the last case they are framed `as_needed`.
    """
    if isinstance(raw.images, np.ndarray) and not raw.files:
        return "memory"  # where they are already
    needed = len(raw.labels) * size * size * channels
    large = size >= _LARGE_SIDE and needed > _MOST_STORED
    wanted = decode == "as_needed" or (decode == "auto" and large)
    if wanted and raw.files:  # else nothing would tell them again
        return "as_needed"
    much = needed > memory_share * environment.memory()
    return "store" if much else "memory"


def _sample_digest(images: DecodedImages) -> str:
    """Returns a hash of a few images, which tells files of equal sizes."""
    places = np.linspace(0, len(images) - 1, min(_KNOWN, len(images)))
    sample = images[np.unique(places.astype(int))]
    return hashlib.sha256(sample.tobytes()).hexdigest()


def _note_decoding(images: DecodedImages, name: str) -> None:
    size = np.prod(images.shape) / 2**30
    fact(
        f"decoding the {len(images):,} images of {name} as they are needed; "
        f"framed once they would take {size:.1f} GiB (`data.decode=once`)"
    )


def _measured(
    raw: image_files.RawImages,
    reader: reading.ImageReader,
    size: int,
    channels: int,
    align: bool,
) -> framing.Frame:
    """Measures a sample of a data set's images."""
    # Test images must not influence the framing.
    pool = raw.outside_test()
    pool = pool if len(pool) else np.arange(len(raw.labels))
    sample = np.random.default_rng(0).permutation(pool)[:_MEASURED]
    images = reader.sample(sample)
    appearance = framing.measure(images, reader.maximum)
    if not align:
        appearance = framing.Appearance(appearance.maximum)
    return framing.Frame(size, channels, appearance)


def _without_damaged(data: ImageData, kept: np.ndarray) -> ImageData:
    """Returns the images that could be read, with the rest of the test part."""
    test = data.test
    if test is not None:
        test = np.flatnonzero(np.isin(kept, test))
    return dataclasses.replace(data.take(kept), test=test)


def _check_memory(needed: int, name: str) -> None:
    if needed > _MOST_MEMORY * environment.memory():
        raise InputError(
            "The framed images would fill more than half of the memory; use "
            "a smaller `image_size`, or `ImportanceWeights` with your own "
            f"tf.data pipeline. Received: {name!r}, {needed / 2**30:.1f} GiB"
        )


def from_dataset(
    dataset: Any,
    class_names: Sequence[str] = (),
    size: int = 0,
    channels: int = 0,
    align: bool = True,
    memory_share: float = 1.0,
    cache: str = "",
    decode: str = "auto",
) -> ImageData:
    """Frames the examples of a program's own data.

    Args:
        dataset: a finite `tf.data.Dataset` of single examples, or a source
            with `__len__` and `__getitem__`, such as those of
            tensorflow-datasets and grain. An example is `(image, class
            number)`, or a dict with `image` and `label`; images are `[H, W,
            channels]` of any size.
        class_names: one name per class; without, those that the source knows,
            or else the numbers.
        size: side of the framed images in pixels.
        channels: 1 for grey, 3 for colour.
        align: as in `load`.
        memory_share: as in `load`. What is stored is removed when the process
            ends.
        cache: as in `load`.
        decode: as in `load`.

    Returns:
        The images, `[N, size, size, channels]` uint8, with their labels.

    Raises:
        InputError: if the dataset is endless, yields something else, or its
            images cannot be framed.

    Example:

    >>> raw = np.zeros((4, 20, 16, 1), np.uint8), [0, 1, 0, 1]
    >>> dataset = tf.data.Dataset.from_tensor_slices(raw)
    >>> from_dataset(dataset, ["cat", "dog"], size=8, channels=1).images.shape
    (4, 8, 8, 1)
    """
    return frame(
        examples.read(dataset, class_names),
        size,
        channels,
        align,
        name=type(dataset).__name__,
        memory_share=memory_share,
        cache=cache,
        decode=decode,
    )
