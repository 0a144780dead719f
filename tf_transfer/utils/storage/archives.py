"""NumPy archives, whose sizes are known before anything is unpacked."""

import math
import zipfile
import zlib
from collections.abc import Collection
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format

DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, SyntaxError),
    *(NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error),
)
"""What reading a damaged archive may raise."""
_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


def read_npz(
    file: BinaryIO, names: Collection[str], most: int
) -> dict[str, np.ndarray]:
    """Reads some arrays of an archive, without running any code in it.

    Args:
        file: the archive, opened.
        names: of the arrays.
        most: the largest size that they may have together, in bytes.

    Returns:
        Those that are there, by name.

    Raises:
        ValueError: if they are larger than `most`.
        One of `DAMAGED`: if the file holds something else.
    """
    with zipfile.ZipFile(file) as archive:
        present = set(archive.namelist())
        wanted = [name for name in names if f"{name}.npy" in present]
        sizes = {name: _size(archive, f"{name}.npy") for name in wanted}
        if sum(sizes.values()) > most:
            raise ValueError(
                f"its arrays have {sum(sizes.values())} bytes, more than {most}"
            )
        arrays = {}
        for name in wanted:
            with archive.open(f"{name}.npy") as content:
                arrays[name] = npy_format.read_array(content)
        return arrays


def names_in(file: BinaryIO) -> list[str]:
    """Returns the names of the arrays; for errors, see `read_npz`."""
    with zipfile.ZipFile(file) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _size(archive: zipfile.ZipFile, name: str) -> int:
    """Returns the bytes of an array in memory, by its header alone."""
    with archive.open(name) as content:
        version = npy_format.read_magic(content)
        if version not in _HEADERS:
            raise ValueError(f"its format is {version}")
        shape, _, dtype = _HEADERS[version](content)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return math.prod(shape) * dtype.itemsize
