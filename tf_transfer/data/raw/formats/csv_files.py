"""Images listed in a table, `csv:PATH` or `csv:PATH,OPTION=VALUE,...`.

The first line names the columns, of which the options choose

`path`    the image file, relative to the table; by default `path`, `file`,
          `filename`, `file_name` or `image`
`label`   the class; by default `label`, `class` or `category`
`split`   the part of the data: rows with `test` there are the test part

Other columns are ignored. Columns are parted by commas, in a `.tsv` file by
tabs.
"""

import csv
import os
from collections.abc import Sequence

import numpy as np

from tf_transfer.data.raw.formats import named_options
from tf_transfer.data.raw.image_files import (
    MAX_PIXELS,
    EncodedImages,
    RawImages,
)
from tf_transfer.errors import InputError

_OPTIONS = ("path", "label", "split")
_PATH = ("path", "file", "filename", "file_name", "image")
_LABEL = ("label", "class", "category")


def load_csv(name: str, max_pixels: int = MAX_PIXELS) -> RawImages:
    """Reads a table of image files; the images stay where they are.

    Args:
        name: see this module's docstring.
        max_pixels: an image with more pixels is refused when it is read.

    Raises:
        InputError: if there is no such table, or it lacks a column or a value.
    """
    table, options = named_options.parse(name, _OPTIONS)
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            rows = _rows(file, table, options)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"The table cannot be read ({reason}). Received: csv:{table}"
        ) from error
    if not rows:
        raise InputError(f"The table has no images. Received: csv:{table}")
    paths, labels, parts = zip(*rows, strict=True)
    names, numbers = np.unique(labels, return_inverse=True)
    folder = os.path.dirname(table)
    files = [os.path.join(folder, path) for path in paths]
    test = None
    if "split" in options:
        is_test = np.array([part.lower() == "test" for part in parts])
        test = np.flatnonzero(is_test)
    return RawImages(
        EncodedImages(files, max_pixels),
        numbers.astype(np.int32),
        [str(each) for each in names],
        test,
        files,
    )


def _rows(file, table: str, options: dict[str, str]) -> list[tuple]:
    """Returns the path, the label and the part of each row."""
    delimiter = "\t" if table.lower().endswith(".tsv") else ","
    reader = csv.DictReader(file, delimiter=delimiter, strict=True)
    columns = reader.fieldnames or []
    path = _column(columns, options, "path", _PATH, table)
    label = _column(columns, options, "label", _LABEL, table)
    split = ""
    if "split" in options:
        split = _column(columns, options, "split", (), table)
    rows = []
    for row in reader:
        values = row[path], row[label], row[split] if split else ""
        if not (values[0] and values[1]) or values[2] is None:
            raise InputError(
                "Each row must have a file and a class. Received: line "
                f"{reader.line_num} of csv:{table}"
            )
        rows.append(values)
    return rows


def _column(
    columns: Sequence[str],
    options: dict[str, str],
    part: str,
    defaults: Sequence[str],
    table: str,
) -> str:
    """Returns the name of the column for a part."""
    wanted = [options[part]] if part in options else defaults
    found = [name for name in wanted if name in columns]
    if len(found) != 1:
        raise InputError(
            f"One column must be the {part} ({' or '.join(wanted)}); name it "
            f"by csv:{table},{part}=COLUMN. Received: columns "
            f"{', '.join(columns) or 'none'}"
        )
    return found[0]
