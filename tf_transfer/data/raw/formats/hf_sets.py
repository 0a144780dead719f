"""Sets of Hugging Face `datasets` on this machine, `hf:PATH`.

PATH is a folder that `Dataset.save_to_disk` wrote, a Parquet file, or a folder
or GLOB of Parquet files. Nothing is downloaded, and no code of a data set is
run. The options, as in `hf:PATH,label=fine_label`, are

`image`   the column with the images, by default `image` or `img`
`label`   the column with the classes, by default `label`

A split named `test`, or files whose names begin with `test`, are the test part.
It needs `pip install 'tf_transfer[hf]'`.
"""

import glob
import os
from collections.abc import Sequence

import numpy as np

from tf_transfer.data.raw.formats import named_options
from tf_transfer.data.raw.image_files import (
    MAX_PIXELS,
    EncodedImages,
    RawImages,
    UnreadableImageError,
)
from tf_transfer.errors import InputError
from tf_transfer.utils import messages

_OPTIONS = ("image", "label")
_IMAGE, _LABEL = ("image", "img"), ("label",)
_TEST = "test"
_BATCH = 10_000


class _Items(Sequence):
    """The encoded images of a column, each read when it is asked for."""

    def __init__(self, parts: Sequence[Sequence[dict]], column: str, name: str):
        self._parts, self._column, self._name = parts, column, name
        self._starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> bytes:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = self._parts[part][int(index - self._starts[part])]
        content = (row[self._column] or {}).get("bytes")
        if not content:
            raise UnreadableImageError("The row holds no image.")
        return content

    def name(self, index: int) -> str:
        """Returns how an image is named in messages."""
        return f"{self._name}, row {index}"


def load_hf(name: str, max_pixels: int = MAX_PIXELS) -> RawImages:
    """Opens a set of Hugging Face `datasets`; the images stay on the disk.

    Args:
        name: see this module's docstring.
        max_pixels: an image with more pixels is refused when it is read.

    Raises:
        InputError: if `datasets` is not installed, there is no such set, or it
            has no images with one class each.
    """
    path, options = named_options.parse(name, _OPTIONS)
    parts, files = _opened(path)
    parts = dict(sorted(parts.items(), key=lambda part: part[0] == _TEST))
    columns = next(iter(parts.values())).features
    image = _column(columns, options, "image", _IMAGE, path)
    label = _column(columns, options, "label", _LABEL, path)
    encoded = [_encoded(part, image, path) for part in parts.values()]
    values = np.concatenate([_values(p, label, path) for p in parts.values()])
    labels, names = _classes(values, columns[label], label, path)
    counts = [len(part) for part in parts.values()]
    test = None
    if _TEST in parts and len(parts) > 1:
        test = np.arange(sum(counts[:-1]), sum(counts))
    images = EncodedImages(_Items(encoded, image, path), max_pixels)
    return RawImages(images, labels, names, test, files)


def _opened(path: str) -> tuple[dict, list[str]]:
    """Returns the splits of a set, by name, and its files."""
    # Read when the library is imported.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "Sets of Hugging Face need another package: pip install "
            f"'tf_transfer[hf]'. Received: hf:{path}"
        ) from error
    datasets.disable_progress_bars()
    saved = [os.path.join(path, n) for n in ("state.json", "dataset_dict.json")]
    try:
        if any(map(os.path.isfile, saved)):
            opened = datasets.load_from_disk(path)
            files = sorted(glob.glob(f"{glob.escape(path)}/**", recursive=True))
        else:
            files = _parquet_files(path)
            opened = _read_parquet(files)
    except InputError:
        raise
    except Exception as error:  # of many types, by the file
        raise InputError(
            f"The set cannot be read ({messages.first_line(error)}). "
            f"Received: hf:{path}"
        ) from error
    if isinstance(opened, datasets.Dataset):
        opened = {"train": opened}
    return dict(opened), [file for file in files if os.path.isfile(file)]


def _parquet_files(path: str) -> list[str]:
    pattern = path
    if os.path.isdir(path):
        pattern = f"{glob.escape(path)}/**/*.parquet"
    files = sorted(f for f in glob.glob(pattern, recursive=True))
    if not files or not all(file.endswith(".parquet") for file in files):
        raise InputError(
            "There is neither a set that `save_to_disk` wrote nor a Parquet "
            f"file. Received: hf:{path}"
        )
    return files


def _read_parquet(files: list[str]) -> dict:
    import datasets

    by_split: dict[str, list[str]] = {}
    for file in files:
        is_test = os.path.basename(file).startswith(_TEST)
        by_split.setdefault(_TEST if is_test else "train", []).append(file)
    return {
        split: datasets.Dataset.from_parquet(paths)
        for split, paths in by_split.items()
    }


def _column(
    columns: dict,
    options: dict[str, str],
    part: str,
    defaults: Sequence[str],
    path: str,
) -> str:
    """Returns the name of the column for a part."""
    wanted = [options[part]] if part in options else defaults
    for name in wanted:
        if name in columns:
            return name
    raise InputError(
        f"There is no column {' or '.join(wanted)}; name the {part} by "
        f"hf:{path},{part}=COLUMN. Received: columns {', '.join(columns)}"
    )


def _encoded(part, image: str, path: str):
    """Returns the column of images alone, which are not decoded."""
    import datasets

    try:
        kept = part.select_columns([image])
        return kept.cast_column(image, datasets.Image(decode=False))
    except Exception as error:  # of many types
        raise InputError(
            f"The column {image} must hold encoded images. Received: "
            f"{part.features[image]} in hf:{path}"
        ) from error


def _values(part, label: str, path: str) -> np.ndarray:
    """Returns the labels of all rows as they are stored."""
    kept = part.select_columns([label]).with_format("numpy")
    found = [
        np.asarray(kept[first : first + _BATCH][label])
        for first in range(0, len(kept), _BATCH)
    ]
    values = np.concatenate(found) if found else np.zeros(0, np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iuUSO":
        raise InputError(
            f"The column {label} must hold one class in each row. Received: "
            f"{part.features[label]} in hf:{path}"
        )
    return values


def _classes(
    values: np.ndarray, feature, label: str, path: str
) -> tuple[np.ndarray, list[str]]:
    """Returns class numbers from 0, and the names of the classes."""
    names = getattr(feature, "names", None)
    if names and values.dtype.kind in "iu":
        if len(values) and values.min() < 0:
            raise InputError(
                f"Each row must have a class; name another column by "
                f"hf:{path},label=COLUMN. Received: -1 in {label}"
            )
        return values.astype(np.int32), list(names)
    if values.dtype.kind not in "iu":
        values = values.astype(str)
    found, numbers = np.unique(values, return_inverse=True)
    return numbers.astype(np.int32), [str(each) for each in found]
