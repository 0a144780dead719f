"""NumPy archives, whose sizes are known before anything is unpacked."""

import math
import os
import zipfile
import zlib
from collections.abc import Collection, Sequence
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from tf_transfer.errors import InputError
from tf_transfer.utils import environment
from tf_transfer.utils.storage.files import open_regular

DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, SyntaxError),
    *(NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error),
)
"""What reading a damaged archive may raise."""
_NPY = b"\x93NUMPY"
_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


def read_arrays(
    path: str | os.PathLike, needed: Sequence[str], others: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays of a NumPy archive without running any code in it.

    Nothing is unpacked before it is known that all is there and has room.

    Raises:
        InputError: if it is no regular file, or lacks an array.
        One of `DAMAGED`: if the file holds something else.
    """
    most = environment.memory()
    with open_regular(path, most) as file:
        if file.read(len(_NPY)) == _NPY:
            raise ValueError("it is a single array, as in a .npy file")
        present = names_in(file)
        for name in needed:
            if name not in present:
                raise InputError(
                    f"The NumPy archive has no array {name!r}. "
                    f"Received: {path} with {sorted(present)}"
                )
        return read_npz(file, [*needed, *others], most)


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
