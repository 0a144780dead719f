"""Data sets by name: raw images, labels and class names.

`glyphs`         characters drawn from matplotlib's fonts (the embedded source)
`digits`         scikit-learn's handwritten digits (the embedded target)
`npz:PATH`       a NumPy archive with `x_train`, `y_train` and, optionally,
                 `x_test`, `y_test`, `class_names`
`npy:PATH`       an array of images, with labels beside; see
                 `formats.npy_files`
`folder:PATH`    a folder per class with image files (jpeg, png and others)
`tfrecord:GLOB`  TFRecord files of `tf.train.Example`; see `formats.tfrecords`
`csv:PATH`       a table of image files and classes; see `formats.csv_files`
`hf:PATH`        a set of Hugging Face `datasets`; see `formats.hf_sets`
`tfds:NAME`      a prepared tensorflow-datasets set with `image` and `label`
"""

from collections.abc import Callable

from tf_transfer.data.raw import embedded
from tf_transfer.data.raw.formats import (
    csv_files,
    folders,
    hf_sets,
    npy_files,
    npz_files,
    tfds_sets,
    tfrecords,
)
from tf_transfer.data.raw.image_files import MAX_PIXELS, RawImages
from tf_transfer.errors import InputError

LOADERS: dict[str, Callable[..., RawImages]] = {
    "glyphs": embedded.load_glyphs,
    "digits": embedded.load_digits,
    "npz": npz_files.load_npz,
    "npy": npy_files.load_npy,
    "folder": folders.load_folder,
    "tfrecord": tfrecords.load_tfrecord,
    "csv": csv_files.load_csv,
    "hf": hf_sets.load_hf,
    "tfds": tfds_sets.load_tfds,
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
            "Unknown data set; choose glyphs, digits, npz:PATH, npy:PATH, "
            "folder:PATH, tfrecord:GLOB, csv:PATH, hf:PATH or tfds:NAME. "
            f"Received: {name!r}"
        )
    if kind in ("npz", "npy"):
        return LOADERS[kind](path)
    return LOADERS[kind](path, max_pixels) if takes_path else LOADERS[kind]()
