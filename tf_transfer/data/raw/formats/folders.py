"""Image files in a folder for each class, `folder:PATH`."""

import os
import pathlib
import textwrap
import warnings

import numpy as np

from tf_transfer.data.raw.image_files import (
    MAX_PIXELS,
    SUFFIXES,
    EncodedImages,
    RawImages,
)
from tf_transfer.errors import InputError

_MOST_LETTERS = 120  # of the files' names in a warning
_PARTS = ("train", "val", "test")


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
