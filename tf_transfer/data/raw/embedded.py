"""The embedded data sets: drawn characters and handwritten digits."""

import os
import pathlib
import tempfile

import numpy as np

from tf_transfer.data.raw import glyphs
from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.data.store import cache
from tf_transfer.utils.storage import archives

GLYPHS_PER_CLASS = 60


def load_glyphs() -> RawImages:
    """Loads the drawn characters; draws them the first time, then caches."""
    name = f"glyphs-{glyphs.VERSION}-{GLYPHS_PER_CLASS}.npz"
    path = cache.root() / name
    try:
        arrays = archives.read_arrays(path, ("images", "labels"))
        images, labels = arrays["images"], arrays["labels"]
    except archives.DAMAGED:  # InputError, too
        images, labels = glyphs.draw(GLYPHS_PER_CLASS, seed=0)
        _store(path, images=images, labels=labels)
    return RawImages(images, labels, list(glyphs.CHARACTERS))


def _store(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Writes an archive whole or not at all; ignores errors of the disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, suffix=".npz", delete=False
        ) as file:
            np.savez(file, **arrays)
        os.replace(file.name, path)
    except OSError:
        pass


def load_digits() -> RawImages:
    """Loads scikit-learn's 1,797 handwritten digits, 8x8."""
    from sklearn.datasets import load_digits as load

    digits = load()
    return RawImages(
        digits.images.astype(np.float32),
        digits.target.astype(np.int32),
        [str(name) for name in digits.target_names],
    )
