"""The width of a terminal, and text that fits into it."""

import os
import textwrap
from typing import TextIO

_USUAL = 80
_WIDEST = 100  # columns of text that is easy to read


def columns(stream: TextIO) -> int | None:
    """Returns the width of the terminal that a stream writes to.

    `COLUMNS` in the environment overrides it.

    Args:
        stream: standard output or standard error.

    Returns:
        None for a file or a pipe.
    """
    if not stream.isatty():
        return None
    try:
        given = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        given = 0
    try:
        return max(20, given or os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):
        return _USUAL


def filled(text: str, stream: TextIO, indent: str = "") -> str:
    """Breaks a sentence into lines for a terminal, between words.

    For a file or a pipe it stays one line, so that programs can read it.

    Args:
        text: one sentence or more.
        stream: that it is written to.
        indent: of all lines but the first.
    """
    width = columns(stream)
    if width is None:
        return text
    return "\n".join(
        textwrap.wrap(
            text,
            min(width, _WIDEST),
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
