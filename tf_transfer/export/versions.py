"""Numbered version folders, each complete or absent."""

import os
import pathlib
from collections.abc import Callable

from tf_transfer.errors import InputError
from tf_transfer.utils.storage.files import check_no_pattern
from tf_transfer.utils.storage.folders import Folder


def publish(
    root: str | os.PathLike, write: Callable[[pathlib.Path], None]
) -> pathlib.Path:
    """Writes the next version, `root/1`, `root/2`, ..., or nothing at all.

    Args:
        root: the folder of the versions; created if it does not exist.
        write: a function that fills an empty folder.

    Returns:
        The folder of the new version.

    Raises:
        InputError: if the folder cannot be written, or TensorFlow could not
            read it.
    """
    check_no_pattern(root)
    root = pathlib.Path(root)
    created = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Folder(root)
        folder.remove_leftovers()
        with folder.filling() as partial:
            write(partial)
            return _rename(partial, root)
    except OSError as error:
        raise InputError(
            f"The folder cannot be written ({error.strerror or error}). "
            f"Received: {root}"
        ) from error
    finally:
        if created and root.is_dir() and not any(root.iterdir()):
            root.rmdir()


def _rename(partial: pathlib.Path, root: pathlib.Path) -> pathlib.Path:
    """Renames a finished folder to the next free number.

    It tries again if another process has taken that number meanwhile.
    """
    while True:
        numbers = [int(p.name) for p in root.iterdir() if p.name.isdecimal()]
        final = root / str(max(numbers, default=0) + 1)
        try:
            return partial.rename(final)
        except OSError:
            if not final.exists():
                raise
