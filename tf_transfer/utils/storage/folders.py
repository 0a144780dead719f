"""Folders that may come from somebody else: nothing in them is followed."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import re
import secrets
import shutil
import stat
import weakref
from collections.abc import Iterator
from typing import Any

from tf_transfer.errors import InputError
from tf_transfer.utils.storage import files

PARTIAL = "partial-"
"""What the names of files and folders that are being written start with."""
_PARTIAL_NAME = re.compile(r"partial-[0-9a-f]{32}(-.+)?")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ANYTHING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Folder:
    """A folder, opened once, below which no link is followed.

    Names are relative to it, with `/` between their parts. Only regular files
    of a limited size are read. What is written appears whole or not at all: it
    is written under a name that nobody can know before, and renamed.

    Args:
        path: the folder. It may itself be a link, because it was named by the
            user.

    Raises:
        OSError: if there is no such folder, or it cannot be opened.

    Example:

    >>> with tempfile.TemporaryDirectory() as path:
    ...     folder = Folder(path)
    ...     folder.write("a.txt", b"one")
    ...     folder.read("a.txt", most=100), folder.names()
    (b'one', ['a.txt'])
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, name: str, most: int) -> bytes | None:
        """Returns the content of a file, or None if it is absent.

        Raises:
            InputError: if it is no regular file, has more than `most` bytes,
                or there is a link on the way.
            OSError: if it cannot be read.
        """
        try:
            with (
                self._parent(name) as (parent, last),
                files.open_regular(
                    last,
                    most,
                    follow=False,
                    folder=parent,
                    shown=self.path / name,
                ) as file,
            ):
                return file.read(most)
        except FileNotFoundError:
            return None

    def read_json(self, name: str, kind: type, most: int) -> Any:
        """Returns the content of a JSON file, or None if it is absent.

        Args:
            name: of the file.
            kind: list or dict.
            most: the largest size that the file may have, in bytes.

        Raises:
            InputError: if it cannot be read or does not hold a `kind`.
        """
        try:
            text = self.read(name, most)
            if text is None:
                return None
            content = json.loads(text)
            if not isinstance(content, kind):
                raise ValueError(f"not a {kind.__name__}")
            return content
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"The file cannot be read. Received: {self.path / name}"
            ) from error

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all."""
        with self.replacing(name) as partial:
            partial.write_bytes(content)

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[pathlib.Path]:
        """Yields a file to write to, which replaces `name` if all goes well.

        The folders on the way must exist.
        """
        with self._parent(name) as (parent, last):
            partial, descriptor = _new_file(parent, last)
            try:
                yield (self.path / name).with_name(partial)
                os.replace(partial, last, src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                os.close(descriptor)
                with contextlib.suppress(OSError):
                    os.unlink(partial, dir_fd=parent)

    @contextlib.contextmanager
    def filling(self) -> Iterator[pathlib.Path]:
        """Yields a new folder in this one, which is removed at the end.

        What it is renamed to before stays.
        """
        partial, descriptor = _new_folder(self._descriptor)
        try:
            yield self.path / partial
        finally:
            os.close(descriptor)
            shutil.rmtree(partial, True, dir_fd=self._descriptor)

    def make(self, name: str) -> pathlib.Path:
        """Creates a folder and those on the way, and returns its path."""
        with self._opened(_parts(name), create=True):
            return self.path / name

    def below(self, name: str) -> pathlib.Path:
        """Returns the path of what may be there or not, for a library.

        Raises:
            InputError: if it is a link, or there is one on the way.
        """
        with (
            contextlib.suppress(FileNotFoundError),
            self._parent(name) as (parent, last),
        ):
            files.check_no_link(last, parent, self.path / name)
        return self.path / name

    def names(self, name: str = "") -> list[str]:
        """Returns the sorted names in a folder; none if it is absent."""
        parts = _parts(name) if name else []
        try:
            with self._opened(parts) as descriptor:
                return sorted(os.listdir(descriptor))
        except FileNotFoundError:
            return []

    def has(self, name: str) -> bool:
        """Returns whether there is a regular file of this name."""
        try:
            with self._parent(name) as (parent, last):
                status = os.stat(last, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return stat.S_ISREG(status.st_mode)

    def remove(self, name: str) -> None:
        """Removes a file, a link, or a folder with all that it holds."""
        with self._parent(name) as (parent, last):
            _remove(last, parent)

    def remove_leftovers(self, name: str = "") -> None:
        """Removes what commands that were killed were writing in a folder."""
        leftovers = filter(_PARTIAL_NAME.fullmatch, self.names(name))
        parts = _parts(name) if name else []
        for leftover in leftovers:
            with contextlib.suppress(OSError), self._opened(parts) as parent:
                descriptor = os.open(leftover, _ANYTHING, dir_fd=parent)
                try:
                    # Whoever still writes it holds its lock.
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(leftover, parent)
                finally:
                    os.close(descriptor)

    def lock(self) -> bool:
        """Locks the folder until `unlock`, or the end of this object.

        Returns:
            False if another process, or another object, has locked it.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # some network file systems lock no folders
        return True

    def unlock(self) -> None:
        """Gives the lock back."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_current(self) -> bool:
        """Returns whether the path still leads to the folder."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return os.path.samestat(status, os.fstat(self._descriptor))

    @contextlib.contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        """Yields the descriptor of the folder of `name`, and its last part."""
        *parts, last = _parts(name)
        with self._opened(parts) as descriptor:
            yield descriptor, last

    @contextlib.contextmanager
    def _opened(self, parts: list[str], create: bool = False) -> Iterator[int]:
        """Yields the descriptor of a folder below this one."""
        descriptor = os.dup(self._descriptor)
        try:
            for i, part in enumerate(parts):
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                try:
                    inner = os.open(part, _FOLDER, dir_fd=descriptor)
                except OSError as error:
                    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                        raise
                    path = self.path.joinpath(*parts[: i + 1])
                    raise InputError(
                        "A folder is needed here, no link and no file. "
                        f"Received: {path}"
                    ) from error
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a file to write to, which replaces `path` if all goes well.

    It is for paths that the user has named: links to folders are followed.
    """
    path = pathlib.Path(path)
    with Folder(path.parent).replacing(path.name) as partial:
        yield partial


def _parts(name: str) -> list[str]:
    """Splits a name; raises InputError if it could lead out of the folder."""
    parts = name.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in name:
        raise InputError(f"A name is needed. Received: {name!r}")
    return parts


def _new_file(parent: int, name: str) -> tuple[str, int]:
    """Creates a file that nobody else has, and locks it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        partial = f"{PARTIAL}{secrets.token_hex(16)}-{name}"
        descriptor = os.open(partial, flags, 0o666, dir_fd=parent)
        if _locked(descriptor):
            return partial, descriptor


def _new_folder(parent: int) -> tuple[str, int]:
    """Creates a folder that nobody else has, and locks it."""
    while True:
        partial = f"{PARTIAL}{secrets.token_hex(16)}"
        os.mkdir(partial, dir_fd=parent)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(partial, _FOLDER, dir_fd=parent)
            if _locked(descriptor):
                return partial, descriptor


def _locked(descriptor: int) -> bool:
    """Locks what is being written; False if it was removed meanwhile."""
    with contextlib.suppress(OSError):  # some file systems have no locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.fstat(descriptor).st_nlink:
        return True
    os.close(descriptor)
    return False


def _remove(name: str, parent: int) -> None:
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
