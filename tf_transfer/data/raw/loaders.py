"""Data sets by name: raw images, labels and class names.

`glyphs`         characters drawn from matplotlib's fonts (the embedded source)
`digits`         scikit-learn's handwritten digits (the embedded target)
`npz:PATH`       a NumPy archive with `x_train`, `y_train` and, optionally,
                 `x_test`, `y_test`, `class_names`
`folder:PATH`    a folder per class with image files (jpeg, png and others)
`tfrecord:GLOB`  TFRecord files of `tf.train.Example`; see `tfrecords`
`csv:PATH`       a table of image files and their classes; see `csv_files`
`tfds:NAME`      a prepared tensorflow-datasets set with `image` and `label`
"""

import os
import pathlib
import re
import textwrap
import warnings
from collections.abc import Callable

import numpy as np

from tf_transfer.data.raw import (
    csv_files,
    embedded,
    pixel_values,
    tfrecords,
)
from tf_transfer.data.raw.image_files import (
    MAX_PIXELS,
    SUFFIXES,
    EncodedImages,
    RawImages,
)
from tf_transfer.errors import InputError
from tf_transfer.utils import messages
from tf_transfer.utils.storage import archives

_MOST_LETTERS = 120  # of the files' names in a warning
_MOST_CLASSES = 1_000_000
_TFDS_NAME = re.compile(r"[\w./-]+(:[\d.*]+)?")
_PARTS = ("train", "val", "test")


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


def load_folder(path: str, max_pixels: int = MAX_PIXELS) -> RawImages:
    """Loads a folder per class; the folders' names are the class names.

    These may also lie in folders `train`, `val` and `test`, of which at least
    two must be there; the last is the test part. A warning lists the files and
    folders that are left out.
    """
    root = pathlib.Path(path)
    if not root.is_dir():
        raise InputError(f"There is no such folder. Received: {path}")
    parts = _parts(root)
    inside = [entries(part) for part in parts]
    names = sorted({f.name for folders, *_ in inside for f in folders})
    files, start, unused = [], 0, []
    if parts != [root]:
        unused += [f for f in entries(root)[0] if f not in parts]
    for part, (_, loose, _) in zip(parts, inside, strict=True):
        start = len(files)
        unused += loose  # images without a class
        for label, name in enumerate(names):
            folders, images, others = entries(part / name)
            files += [(str(file), label) for file in images]
            unused += [*folders, *others]
    if not files:
        raise InputError(
            f"The folder has no classes with images ({', '.join(SUFFIXES)}; "
            "expected CLASS/IMAGE.png, or train/CLASS/IMAGE.png beside "
            "test/CLASS; images without classes can be `data.unlabelled`). "
            f"Received: {path}"
        )
    if unused:
        _warn_of(unused, root)
    labels = np.array([label for _, label in files], np.int32)
    images = EncodedImages([f for f, _ in files], max_pixels)
    test = np.arange(start, len(files)) if len(parts) > 1 else None
    return RawImages(images, labels, names, test, images.items)


def _warn_of(unused: list[pathlib.Path], root: pathlib.Path) -> None:
    """Warns of the files and folders that are not images of a class."""
    names = ", ".join(ascii(str(path.relative_to(root))) for path in unused)
    warnings.warn(
        f"Left out of {root} are {len(unused)} files and folders that are not "
        f"images of a class ({', '.join(SUFFIXES)}): "
        f"{textwrap.shorten(names, _MOST_LETTERS, placeholder=' ...')}",
        stacklevel=3,
    )


def _parts(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders that hold the classes: the root, or its parts."""
    folders = {f.name.lower(): f for f in entries(root)[0]}
    parts = [folders[part] for part in _PARTS if part in folders]
    # A class may be named like a part, but it holds no folders.
    parts = [part for part in parts if entries(part)[0]]
    return parts if len(parts) > 1 else [root]


def image_paths(folder: str | os.PathLike) -> list[str]:
    """Returns the image files at any depth of a folder, sorted by name.

    Links to folders are not followed.
    """
    folders, files = [pathlib.Path(folder)], []
    while folders:
        inside, images, _ = entries(folders.pop())
        folders += [each for each in inside if not each.is_symlink()]
        files += map(str, images)
    return sorted(files)


def entries(folder: pathlib.Path) -> tuple[list[pathlib.Path], ...]:
    """Returns a folder's folders, image files and other files."""
    folders, images, others = [], [], []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir():
            folders.append(entry)
        elif entry.suffix.lower() in SUFFIXES and entry.is_file():
            images.append(entry)
        else:
            others.append(entry)
    return folders, images, others


def load_tfds(name: str, max_pixels: int = MAX_PIXELS) -> RawImages:
    """Loads a prepared tensorflow-datasets set; downloads nothing."""
    import tensorflow_datasets as tfds

    if not _TFDS_NAME.fullmatch(name):
        raise InputError(
            "A tensorflow-datasets set is named NAME, NAME/CONFIG or "
            "NAME:VERSION; a namespace such as `huggingface:` would ask a "
            f"server. Received: tfds:{name}"
        )
    try:
        builder = tfds.builder(name)
        prepared = builder.is_prepared()
    except Exception as error:
        raise InputError(
            f"tensorflow-datasets has no such data set "
            f"({messages.first_line(error)}). Received: tfds:{name}"
        ) from error
    if not prepared:
        raise InputError(
            "The tensorflow-datasets set is not prepared on this machine; "
            f"run `tfds build {name}` where there is a network, then copy "
            f"{builder.data_dir}. Received: tfds:{name}"
        )
    features = builder.info.features
    types = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    if not all(
        key in features and isinstance(features[key], feature_type)
        for key, feature_type in types.items()
    ):
        raise InputError(
            "The tensorflow-datasets set must have an image 'image' and a "
            f"class 'label'. Received: tfds:{name} with {sorted(features)}"
        )
    images, labels, test = [], [], None
    for split in sorted(builder.info.splits, key=lambda s: s == "test"):
        start = len(labels)
        source = builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders={"image": tfds.decode.SkipDecoding()},
        )
        for example in tfds.as_numpy(source):
            images.append(example["image"])
            labels.append(example["label"])
        if split == "test":
            test = np.arange(start, len(labels))
    names = list(features["label"].names)
    labels = np.array(labels, np.int32)
    return RawImages(EncodedImages(images, max_pixels), labels, names, test)


LOADERS: dict[str, Callable[..., RawImages]] = {
    "glyphs": embedded.load_glyphs,
    "digits": embedded.load_digits,
    "npz": load_npz,
    "folder": load_folder,
    "tfrecord": tfrecords.load_tfrecord,
    "csv": csv_files.load_csv,
    "tfds": load_tfds,
}


def load(name: str, max_pixels: int = MAX_PIXELS) -> RawImages:
    """Loads one data set by name, e.g. `"glyphs"` or `"npz:mnist.npz"`.

    Args:
        name: of the data set; see this module's docstring.
        max_pixels: an encoded image with more pixels is refused.

    Raises:
        InputError: if the name is unknown or the data cannot be read.
    """
    kind, _, path = name.partition(":")
    takes_path = kind not in ("glyphs", "digits")
    if kind not in LOADERS or takes_path != bool(path):
        raise InputError(
            "Unknown data set; choose glyphs, digits, npz:PATH, folder:PATH, "
            f"tfrecord:GLOB, csv:PATH or tfds:NAME. Received: {name!r}"
        )
    if kind == "npz":
        return load_npz(path)
    return LOADERS[kind](path, max_pixels) if takes_path else LOADERS[kind]()
