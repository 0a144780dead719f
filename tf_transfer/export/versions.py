"""Numbered folders for servers, written beside and renamed."""

import os
import pathlib
import shutil
import uuid
from collections.abc import Callable

from tf_transfer.errors import InputError


def publish(
    root: str | os.PathLike, write: Callable[[pathlib.Path], None]
) -> pathlib.Path:
    """Writes the next version `root/1`, `root/2`, ..., whole or not at all.

    Args:
        root: the folder of the versions; made if it is absent.
        write: fills the folder that it is given.

    Returns:
        The folder of the new version.

    Raises:
        InputError: if the folder cannot be written.
    """
    root = pathlib.Path(root)
    made = not root.exists()
    partial = root / f"partial-{uuid.uuid4().hex}"
    try:
        partial.mkdir(parents=True)
        write(partial)
        return _rename(partial, root)
    except OSError as error:
        raise InputError(
            f"The folder cannot be written ({error.strerror or error}). "
            f"Received: {root}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if made and root.is_dir() and not any(root.iterdir()):
            root.rmdir()


def _rename(partial: pathlib.Path, root: pathlib.Path) -> pathlib.Path:
    """Gives a finished folder the next number that nobody took meanwhile."""
    while True:
        taken = [int(p.name) for p in root.iterdir() if p.name.isdecimal()]
        final = root / str(max(taken, default=0) + 1)
        try:
            return partial.rename(final)
        except OSError:
            if not final.exists():
                raise
