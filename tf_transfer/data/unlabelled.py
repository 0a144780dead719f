"""Target images without labels, which are framed as those with labels are."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from tf_transfer.data import loading
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.raw import loaders, pixel_values
from tf_transfer.data.raw.formats import folders, npy_files, npz_files
from tf_transfer.data.raw.image_files import (
    MAX_PIXELS,
    EncodedImages,
    RawImages,
)
from tf_transfer.data.store.indexed import IndexedImages
from tf_transfer.errors import InputError

_ARRAYS = {"npz": npz_files.load_npz, "npy": npy_files.load_npy}
CLASS = "unlabelled"
"""The name of the class that all unlabelled images are in."""


class _Joined(Sequence):
    """Two sequences of images, one after the other."""

    def __init__(self, first: Sequence, second: Sequence):
        self.parts = first, second

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def _part(self, index: int) -> tuple[Sequence, int]:
        first, second = self.parts
        inside = index < len(first)
        return (first, index) if inside else (second, index - len(first))

    def __getitem__(self, index: int) -> np.ndarray:
        part, place = self._part(index)
        return part[place]

    def shell_word(self, index: int) -> str:
        """Returns a file's name for a shell."""
        part, place = self._part(index)
        return part.shell_word(place)

    @property
    def max_pixels(self) -> int:
        """The limit of the parts that are files."""
        return max(getattr(part, "max_pixels", 0) for part in self.parts)


def load(name: str, max_pixels: int = MAX_PIXELS) -> RawImages:
    """Loads the images of a data set without their labels.

    Args:
        name: as in `loaders.load`. Of a folder, all images are taken, in
            subfolders too; arrays need no labels. A test part is left out.
        max_pixels: an encoded image with more pixels is refused.

    Returns:
        The images, all of class 0.

    Raises:
        InputError: if the name is unknown or the data cannot be read.
    """
    kind, _, path = name.partition(":")
    if kind == "folder" and path:
        images = _folder(path, max_pixels)
        files = images.items
    elif kind in _ARRAYS and path:
        raw = _ARRAYS[kind](path, labelled=False)
        images, files = raw.images, raw.files
    else:
        raw = loaders.load(name, max_pixels)
        images, files = _taken(raw.images, raw.outside_test()), raw.files
    labels = np.zeros(len(images), np.int32)
    return RawImages(images, labels, [CLASS], files=files)


def _folder(path: str, max_pixels: int) -> EncodedImages:
    """Returns the image files at any depth of a folder."""
    if not os.path.isdir(path):
        raise InputError(f"There is no such folder. Received: {path}")
    files = folders.image_paths(path)
    if not files:
        raise InputError(f"The folder has no images. Received: {path}")
    return EncodedImages(files, max_pixels)


def _taken(images, indices: np.ndarray):
    """Returns the images of some indices."""
    if isinstance(images, EncodedImages):
        items = [images.items[i] for i in indices]
        return EncodedImages(items, images.max_pixels)
    return images[indices]


def load_both(
    target: str, name: str, max_pixels: int = MAX_PIXELS, **framing
) -> tuple[ImageData | None, ImageData]:
    """Loads a target and more images of it, and frames them alike.

    Args:
        target: name of the labelled images; `""` if there are none. Several
            data sets that are joined by `+` are framed each on its own.
        name: of the unlabelled images.
        max_pixels: an encoded image with more pixels is refused.
        **framing: `size`, `channels`, `align` and `damaged` of
            `loading.load`.

    Returns:
        The target, or None, and the unlabelled images.

    Raises:
        InputError: if a name is unknown, or the data cannot be read or framed.
    """
    others = load(name, max_pixels)
    if target and len(loading.part_names(target)) == 1:
        labelled = loaders.load(target, max_pixels)
        both = f"{target} and {name}"
        return frame_together(labelled, others, name=both, **framing)
    labelled = None
    if target:
        labelled = loading.load(target, max_pixels=max_pixels, **framing)
    return labelled, loading.frame(others, name=name, **framing)


def frame_together(
    labelled: RawImages, others: RawImages, **settings
) -> tuple[ImageData, ImageData]:
    """Measures labelled and unlabelled images together, and frames them alike.

    Args:
        labelled: the target.
        others: more images of it, without labels.
        **settings: of `loading.frame`.

    Returns:
        The target with its test part, and the unlabelled images.

    Raises:
        InputError: if an image cannot be read or framed, or the two are
            stored as different types.
    """
    number = len(labelled.class_names)
    joined = RawImages(
        _join(labelled.images, others.images),
        np.concatenate([labelled.labels, np.full(len(others.labels), number)]),
        [*labelled.class_names, CLASS],
        labelled.test,
        _files_of(labelled, others),
    )
    framed = loading.frame(joined, **settings)
    has_label = framed.labels < number
    # The labelled ones come first, so that the test part stays where it is.
    target = framed.take(np.flatnonzero(has_label))
    target = dataclasses.replace(
        target, class_names=labelled.class_names, test=framed.test
    )
    rest = framed.take(np.flatnonzero(~has_label))
    return target, of_images(rest.images, framed.frame)


def _files_of(*parts: RawImages) -> list[str]:
    """Returns the files of all parts; none if one has none."""
    if not all(part.files for part in parts):
        return []
    return [path for part in parts for path in part.files]


def of_images(images: np.ndarray | IndexedImages, frame=None) -> ImageData:
    """Returns framed images as data of one class."""
    labels = np.zeros(len(images), np.int32)
    return ImageData(images, labels, [CLASS], frame=frame)


def _join(first, second):
    """Joins images that may be arrays or files."""
    parts = [first, second]
    arrays = [part for part in parts if hasattr(part, "dtype")]
    if any(array.dtype != np.uint8 for array in arrays):
        if len(arrays) < len(parts):
            raise InputError(
                "Beside image files, arrays of images must be uint8. "
                f"Received: {arrays[0].dtype}"
            )
        names, arrays = ("labelled", "unlabelled"), map(np.asarray, parts)
        shared = dict(zip(names, arrays, strict=True))
        parts = pixel_values.share_range(shared).values()
    return _Joined(*parts)
