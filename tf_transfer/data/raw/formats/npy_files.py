"""Images in a NumPy array, `npy:PATH` or `npy:PATH,OPTION=VALUE,...`.

The file, `[N, H, W]` or `[N, H, W, channels]`, is read as it is needed, so it
may be larger than the memory. The options are

`labels`  the `.npy` file of the class numbers, `[N]`; by default that of the
          images with `_labels` at the end of its name
`names`   a text file with the name of each class, in lines; by default the
          numbers are the names
"""

import pathlib
from collections.abc import Callable

import numpy as np

from tf_transfer.data.raw import arrays
from tf_transfer.data.raw.formats import named_options
from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.errors import InputError
from tf_transfer.utils.storage import archives, files

_OPTIONS = ("labels", "names")
_MOST_NAMES = 2**26  # bytes of a file of names


def load_npy(name: str, labelled: bool = True) -> RawImages:
    """Opens an array of images and reads their labels.

    Args:
        name: see this module's docstring.
        labelled: False reads no labels; they are all 0.

    Raises:
        InputError: if a file cannot be read, or they do not fit each other.
    """
    path, options = named_options.parse(name, _OPTIONS)
    images = _read(path, archives.map_array)
    arrays.check_images(images, "The array", path)
    if not labelled:
        return RawImages(images, np.zeros(len(images), int), [""], files=[path])
    beside = pathlib.Path(path)
    beside = beside.with_name(f"{beside.stem}_labels{beside.suffix}")
    of_labels = options.get("labels", str(beside))
    labels = np.array(_read(of_labels, archives.map_array))
    if labels.shape[:1] != images.shape[:1]:
        raise InputError(
            "There must be one label per image. Received: "
            f"{path} with shape {images.shape}, {of_labels} with {labels.shape}"
        )
    labels = arrays.class_numbers(labels, "The labels", of_labels)
    names = [str(i) for i in range(int(labels.max(initial=-1)) + 1)]
    if "names" in options:
        names = _names(options["names"], len(names))
    everything = [path, of_labels, *filter(None, [options.get("names")])]
    return RawImages(images, labels, names, files=everything)


def _names(path: str, least: int) -> list[str]:
    content = _read(path, lambda path: files.read_regular(path, _MOST_NAMES))
    names = content.decode("utf-8", "replace").splitlines()
    if len(names) < least:
        raise InputError(
            "There must be a line with a name for each class number. Received: "
            f"{path} with {len(names)} lines, and classes 0 to {least - 1}"
        )
    return names


def _read(path: str, read: Callable):
    with arrays.reading("file", path):
        return read(path)
