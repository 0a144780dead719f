"""Images in a NumPy archive, `npz:PATH`.

It holds `x_train` and `y_train`, and may hold `x_test`, `y_test` and
`class_names`.
"""

import numpy as np

from tf_transfer.data.raw import pixel_values
from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.errors import InputError
from tf_transfer.utils import messages
from tf_transfer.utils.storage import archives

_MOST_CLASSES = 1_000_000


def load_npz(path: str, labelled: bool = True) -> RawImages:
    """Loads a NumPy archive without running any code in it.

    Args:
        path: the archive.
        labelled: False takes `x_train` alone, and labels it 0.
    """
    needed = ("x_train", "y_train") if labelled else ("x_train",)
    others = ("x_test", "y_test", "class_names") if labelled else ()
    try:
        arrays = archives.read_arrays(path, needed, others)
    except InputError:
        raise
    except archives.DAMAGED as error:
        raise InputError(
            f"The NumPy archive cannot be read ({messages.first_line(error)}). "
            f"Received: {path}"
        ) from error
    if not labelled:
        arrays["y_train"] = np.zeros(len(np.atleast_1d(arrays["x_train"])), int)
    for part in ("train", "test"):
        _check_pair(path, part, arrays)
    try:
        shared = {n: arrays[n] for n in ("x_train", "x_test") if n in arrays}
        arrays |= pixel_values.share_range(shared)
    except InputError as error:
        raise InputError(f"{error} ({path})") from error
    images, labels, test = arrays["x_train"], arrays["y_train"], None
    if "x_test" in arrays and len(arrays["x_test"]):
        test = np.arange(len(arrays["y_test"])) + len(labels)
        images = np.concatenate([images, arrays["x_test"]])
        labels = np.concatenate([labels, arrays["y_test"]])
    names = arrays.get("class_names")
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


def _check_pair(path: str, part: str, arrays: dict) -> None:
    """Checks images and labels of one part; makes the labels integers."""
    if f"x_{part}" not in arrays:
        return
    images, labels = arrays[f"x_{part}"], arrays.get(f"y_{part}")
    if images.ndim < 3 or images.dtype.kind not in "biuf":
        raise InputError(
            f"x_{part} must hold numbers of shape [N, H, W] or [N, H, W, "
            f"channels]. Received: {path} with {images.dtype} of shape "
            f"{images.shape}"
        )
    if labels is None or labels.shape[:1] != images.shape[:1]:
        shape = None if labels is None else labels.shape
        raise InputError(
            f"x_{part} and y_{part} must have equal lengths. Received: {path} "
            f"with shapes {images.shape} and {shape}"
        )
    if labels.shape == (len(images), 1):  # as in keras.datasets.cifar10
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InputError(
            f"y_{part} must hold one class number per image (of one-hot "
            "vectors, y.argmax(axis=1)). "
            f"Received: {path} with shape {labels.shape}"
        )
    whole = labels.dtype.kind == "f" and (labels == np.rint(labels)).all()
    numbers = labels.dtype.kind in "iu" or whole
    if not numbers or (labels > _MOST_CLASSES).any():
        raise InputError(
            f"y_{part} must hold class numbers up to {_MOST_CLASSES}. "
            f"Received: {path} with {labels.dtype}, for example {labels[:1]}"
        )
    arrays[f"y_{part}"] = labels.astype(np.int64) if whole else labels
    if part == "test" and images.shape[1:] != arrays["x_train"].shape[1:]:
        raise InputError(
            "x_train and x_test must hold images of one shape. Received: "
            f"{path} with {arrays['x_train'].shape} and {images.shape}"
        )
