"""Images in a NumPy archive, `npz:PATH`.

It holds `x_train` and `y_train`, and may hold `x_test`, `y_test` and
`class_names`. Large images that are not compressed (`np.savez`) are read from
the file as they are needed.
"""

import numpy as np

from tf_transfer.data.raw import arrays, pixel_values
from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.errors import InputError
from tf_transfer.utils.storage import archives


def load_npz(path: str, labelled: bool = True) -> RawImages:
    """Loads a NumPy archive without running any code in it.

    Args:
        path: the archive.
        labelled: False takes `x_train` alone, and labels it 0.
    """
    needed = ("x_train", "y_train") if labelled else ("x_train",)
    others = ("x_test", "y_test", "class_names") if labelled else ()
    with arrays.reading("NumPy archive", path):
        found = archives.read_arrays(path, needed, others)
    if not labelled:
        found["y_train"] = np.zeros(len(np.atleast_1d(found["x_train"])), int)
    for part in ("train", "test"):
        _check_pair(path, part, found)
    try:
        shared = {n: found[n] for n in ("x_train", "x_test") if n in found}
        found |= pixel_values.share_range(shared)
    except InputError as error:
        raise InputError(f"{error} ({path})") from error
    images, labels, test = found["x_train"], found["y_train"], None
    if "x_test" in found and len(found["x_test"]):
        test = np.arange(len(found["y_test"])) + len(labels)
        images = arrays.join([images, found["x_test"]])
        labels = np.concatenate([labels, found["y_test"]])
    names = found.get("class_names")
    if names is None:
        names = range(int(labels.max()) + 1 if labels.size else 0)
    elif names.ndim != 1:
        raise InputError(
            "class_names must be a list of names. "
            f"Received: {path} with shape {names.shape}"
        )
    names = [_name(name) for name in names]
    return RawImages(images, labels, names, test, [path])


def _name(name) -> str:
    """Returns a class name of text, bytes or a number."""
    try:
        return name.decode() if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError as error:
        raise InputError(
            f"class_names of bytes must be UTF-8. Received: {name!r}"
        ) from error


def _check_pair(path: str, part: str, found: dict) -> None:
    """Checks images and labels of one part; makes the labels integers."""
    if f"x_{part}" not in found:
        return
    images, labels = found[f"x_{part}"], found.get(f"y_{part}")
    arrays.check_images(images, f"x_{part}", path)
    if labels is None or labels.shape[:1] != images.shape[:1]:
        shape = None if labels is None else labels.shape
        raise InputError(
            f"x_{part} and y_{part} must have equal lengths. Received: {path} "
            f"with shapes {images.shape} and {shape}"
        )
    found[f"y_{part}"] = arrays.class_numbers(labels, f"y_{part}", path)
    if part == "test" and images.shape[1:] != found["x_train"].shape[1:]:
        raise InputError(
            "x_train and x_test must hold images of one shape. Received: "
            f"{path} with {found['x_train'].shape} and {images.shape}"
        )
