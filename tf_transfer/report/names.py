"""Names of any length and script, broken into lines."""

import re
import unicodedata

from tf_transfer.utils.escaping import printable

_WORD = re.compile(r"[^\s_/-]*[\s_/-]+|[^\s_/-]+")


def columns(text: str) -> int:
    """Returns how many columns a text takes where letters have equal widths.

    Chinese, Japanese and Korean characters take two, combining marks none.

    >>> columns("cat"), columns("\u732b"), columns("e\u0301")
    (3, 2, 1)
    """
    return sum(map(_width, text))


def _width(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def wrapped(name: str, width: int, most: int = 6) -> list[str]:
    """Returns the lines of a name, broken between words where possible.

    Args:
        name: to break.
        width: columns of a line, at least 2.
        most: number of lines; a name with more ends in an ellipsis.

    Example:

    >>> wrapped("black_footed albatross", 14)
    ['black_footed', 'albatross']
    """
    lines, line = [], ""
    for word in _WORD.findall(printable(name)):
        if line and columns((line + word).rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += word
        while columns(line.rstrip()) > width:
            head = _beginning(line, width)
            lines.append(head)
            line = line[len(head) :]
    lines.append(line.rstrip())
    lines = [each for each in lines if each] or [""]
    if len(lines) > most:
        last = _beginning(lines[most - 1], width - 1) + "\u2026"
        lines = [*lines[: most - 1], last]
    return lines


def _beginning(text: str, width: int) -> str:
    """Returns the letters that fit, with the marks that belong to them."""
    used = 0
    for place, letter in enumerate(text):
        used += _width(letter)
        if used > width and _width(letter):
            return text[: max(1, place)]
    return text
