"""The folder that holds stores: where it is, what it holds, how to empty it."""

import os
import pathlib
import shutil

from tf_transfer.errors import InputError
from tf_transfer.utils.storage.folders import Folder

VARIABLE = "TF_TRANSFER_CACHE"
_STORES = "stores-v2"


def root(path: str | os.PathLike = "") -> pathlib.Path:
    """Returns the folder of the cache; it need not exist.

    Args:
        path: the folder. If empty, it is what the environment variable
            `TF_TRANSFER_CACHE` names, or else `tf_transfer` in the user's
            folder of caches.
    """
    named = os.fspath(path) or os.environ.get(VARIABLE, "")
    if not named:
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        named = os.path.join(caches, "tf_transfer")
    return pathlib.Path(named).expanduser()


def folder(path: str | os.PathLike = "") -> pathlib.Path:
    """Returns the folder of all stores in a cache; see `root`."""
    return root(path) / _STORES


def opened(path: str | os.PathLike, name: str) -> Folder:
    """Returns the folder of one store, which is made if it is absent.

    Raises:
        InputError: if it cannot be made.
    """
    place = folder(path)
    try:
        place.mkdir(parents=True, exist_ok=True)
        Folder(place).make(name)
        return Folder(place / name)
    except OSError as error:
        raise InputError(
            "The folder of stored images cannot be written; choose another by "
            f"`data.cache` or {VARIABLE}. Received: {place}"
        ) from error


def contents(path: str | os.PathLike = "") -> dict[str, int]:
    """Returns the bytes that each store takes on the disk, by name."""
    place = folder(path)
    stores = sorted(place.iterdir()) if place.is_dir() else []
    return {store.name: size(store) for store in stores if store.is_dir()}


def size(store: pathlib.Path) -> int:
    """Returns the bytes that a store's files take on the disk."""
    return sum(file.lstat().st_blocks * 512 for file in store.iterdir())


def clear(path: str | os.PathLike = "") -> tuple[list[str], list[str]]:
    """Removes all stores that nobody is making.

    Returns:
        The names of the stores that were removed, and of those that another
        process is making.
    """
    place, removed, kept = folder(path), [], []
    for name in contents(path):
        store = Folder(place / name)
        if store.lock():
            shutil.rmtree(store.path)
            removed.append(name)
        else:
            kept.append(name)
    return removed, kept
