"""Parts of the sentences of errors and warnings."""

import os
import shlex
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


def short_number(number: float) -> str:
    """Returns a number with two digits, or all of those before the point.

    >>> short_number(0.456), short_number(1234.5)
    ('0.46', '1,234')
    """
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


def shell_word(name: str) -> str:
    r"""Returns a file's name as a word that can be pasted into a shell.

    Control characters, and bytes that are no UTF-8, are escaped.

    >>> print(shell_word("my cat.png"), shell_word("a\tb.png"))
    'my cat.png' $'a\x09b.png'
    """
    if name.isprintable():  # which characters in place of bytes are not
        return shlex.quote(name)
    letters = (
        letter
        if letter.isprintable() and letter not in "\\'"
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
        for letter in name
    )
    return f"$'{''.join(letters)}'"
