"""NumPy's files, whose sizes are known before anything is unpacked.

Large arrays that are not compressed are mapped: the system reads from the file
what is used, and may forget it again. Their checksums are not read, and the
file must not be cut off while it is used.
"""

import math
import os
import struct
import tokenize
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
    *(struct.error, tokenize.TokenError, OverflowError, RuntimeError),
)
"""What reading a damaged archive may raise."""
_NPY = b"\x93NUMPY"
_MAPPED = 2**26  # bytes of an array
_LARGEST = 2**62  # file
_LOCAL = struct.Struct("<4s22xHH")  # the header of a file in an archive
_SIGNATURE = b"PK\3\4"
_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


def read_arrays(
    path: str | os.PathLike, needed: Sequence[str], others: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays of a NumPy archive without running any code in it.

    Nothing is unpacked before it is known that all is there and has room.
    Arrays of 64 MiB or more that are not compressed are mapped.

    Raises:
        InputError: if it is no regular file, or lacks an array.
        One of `DAMAGED`: if the file holds something else.
    """
    with open_regular(path, _LARGEST) as file:
        if file.read(len(_NPY)) == _NPY:
            raise ValueError("it is a single array, as in a .npy file")
        present = names_in(file)
        for name in needed:
            if name not in present:
                raise InputError(
                    f"The NumPy archive has no array {name!r}. "
                    f"Received: {path} with {sorted(present)}"
                )
        wanted = [name for name in (*needed, *others) if name in present]
        found = {name: _mapped_in(file, f"{name}.npy") for name in wanted}
        mapped = {n: array for n, array in found.items() if array is not None}
        rest = [name for name in wanted if name not in mapped]
        return mapped | read_npz(file, rest, environment.memory())


def map_array(path: str | os.PathLike) -> np.ndarray:
    """Maps the array in a `.npy` file.

    Raises:
        InputError: if it is no regular file.
        One of `DAMAGED`: if the file holds something else.
    """
    with open_regular(path, _LARGEST) as file:
        return _mapped_at(file, 0, _size_of(file))


def _mapped_in(file: BinaryIO, name: str) -> np.ndarray | None:
    """Maps an array of an archive; None if it is small or compressed."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(name)
    stored = info.compress_type == zipfile.ZIP_STORED
    if not stored or info.flag_bits & 1 or info.file_size < _MAPPED:
        return None
    file.seek(info.header_offset)
    signature, *lengths = _LOCAL.unpack(file.read(_LOCAL.size))
    if signature != _SIGNATURE:
        raise ValueError(f"it has no array at the place of {name}")
    start = info.header_offset + _LOCAL.size + sum(lengths)
    return _mapped_at(file, start, info.file_size)


def _mapped_at(file: BinaryIO, start: int, size: int) -> np.ndarray:
    """Maps the array in some bytes of a file."""
    file.seek(start)
    version = npy_format.read_magic(file)
    shape, by_column, dtype = _header(file, version)
    needed = math.prod(shape) * dtype.itemsize
    place = file.tell()
    if place + needed > start + size or place + needed > _size_of(file):
        raise ValueError("it is cut off")
    order = "F" if by_column else "C"
    return np.memmap(file, dtype, "r", place, shape, order)


def _size_of(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


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
        shape, _, dtype = _header(content, version)
    return math.prod(shape) * dtype.itemsize


def _header(
    content: BinaryIO, version: tuple[int, int]
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Returns an array's shape, whether it lies by columns, and its type."""
    if version not in _HEADERS:
        raise ValueError(f"its format is {version}")
    shape, by_column, dtype = _HEADERS[version](content)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    return shape, by_column, dtype
