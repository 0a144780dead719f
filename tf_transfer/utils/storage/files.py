"""Regular files: opened without a wait, and of a size that is known before."""

import os
import re
import stat
from typing import BinaryIO

from tf_transfer.errors import InputError

_PATTERN = re.compile(r"[*?\\]|\[.*\]", re.DOTALL)
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def open_regular(
    path: str | os.PathLike,
    most: int,
    *,
    follow: bool = True,
    folder: int | None = None,
    shown: str | os.PathLike | None = None,
) -> BinaryIO:
    """Opens a regular file for reading.

    A pipe or a device could make a program wait for ever, or never end.

    Args:
        path: the file.
        most: the largest size that it may have, in bytes.
        follow: whether it may be a link.
        folder: descriptor of the folder that `path` is relative to.
        shown: the file's name in an error, by default `path`.

    Raises:
        InputError: if it is no regular file, or larger.
        OSError: if it cannot be opened.
    """
    shown = path if shown is None else shown
    flags = _READ if follow else _READ | os.O_NOFOLLOW
    if not follow:
        check_no_link(path, folder, shown)
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"A regular file is needed. Received: {shown}")
        if status.st_size > most:
            raise InputError(
                f"The file must have at most {most} bytes. "
                f"Received: {status.st_size} in {shown}"
            )
    except InputError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def check_no_pattern(path: str | os.PathLike) -> None:
    """Raises InputError for a path that TensorFlow takes for a pattern.

    It would load no model from there, or that of another folder.
    """
    received = os.path.abspath(path)
    if _PATTERN.search(received):
        raise InputError(
            "TensorFlow needs a path without * ? [] and backslashes. "
            f"Received: {received}"
        )


def read_regular(path: str | os.PathLike, most: int) -> bytes:
    """Returns the content of a regular file; for errors, see `open_regular`."""
    with open_regular(path, most) as file:
        return file.read(most)


def check_no_link(
    path: str | os.PathLike, folder: int | None, shown: str | os.PathLike
) -> None:
    """Raises InputError for a link, and OSError if there is nothing."""
    status = os.stat(path, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        raise InputError(f"There must be no link here. Received: {shown}")
