"""Errors of other libraries, in one line of a sentence of our own."""

import textwrap

_LONGEST = 300


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or else its repr."""
    lines = str(error).strip().splitlines() or [repr(error)]
    return lines[0]


def summary(error: Exception) -> str:
    """Returns an error's type and the beginning of its message, in one line."""
    message = textwrap.shorten(str(error), _LONGEST)
    return f"{type(error).__name__}: {message}"
