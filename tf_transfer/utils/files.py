"""JSON files, and files that are written whole or not at all."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from tf_transfer.errors import InputError

PARTIAL = "partial-"
"""What the names of files that are being written start with."""


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path to write to, which replaces `path` if all goes well."""
    partial = path.with_name(PARTIAL + path.name)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def plain(content: dict) -> dict:
    """Returns what JSON keeps of a dict: tuples become lists."""
    return json.loads(json.dumps(content))


def read_json(path: pathlib.Path, kind: type) -> Any:
    """Returns the content of a JSON file, or None if there is no file.

    Raises:
        InputError: if it cannot be read or does not hold a `kind`.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, kind):
            raise ValueError(f"not a {kind.__name__}")
        return content
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"The file cannot be read. Received: {path}"
        ) from error
