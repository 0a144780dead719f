"""Text of others, such as names of classes and files, in our own output.

There is one function for each kind of output. For HTML, templates escape by
themselves.
"""

import html
import unicodedata

_SPACE = "Zs"  # the category of spaces
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in r"\`*[]|~"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    r"""Returns text for a terminal or a figure, on one line.

    Line breaks, control characters, marks that turn the direction of the text,
    and halves of characters are escaped as in Python.

    >>> print(printable("\x1b[31mcat\ndog"))
    \x1b[31mcat\ndog
    """
    return "".join(
        letter
        if letter.isprintable() or unicodedata.category(letter) == _SPACE
        else ascii(letter)[1:-1]
        for letter in text
    )


def markdown(text: str) -> str:
    r"""Returns text for a paragraph or a cell of a table in Markdown.

    >>> print(markdown("a|b <img>"))
    a\|b &lt;img&gt;
    """
    text = printable(text).translate(_MARKDOWN)
    return html.escape(text, quote=False)


def markdown_code(text: str) -> str:
    r"""Returns text as code in Markdown, without HTML of its own.

    >>> print(markdown_code("a ` b"), markdown_code("<img>"))
    `` a ` b `` <code>&lt;img&gt;</code>
    """
    if "<" in text:
        escaped = markdown(text).replace("_", r"\_")
        return f"<code>{escaped}</code>"
    text = printable(text)
    if "`" not in text:
        return f"`{text}`"
    fence = "`"
    while fence in text:
        fence += "`"
    return f"{fence} {text} {fence}"


def csv_cell(text: str) -> str:
    """Returns text that a spreadsheet does not take for a formula.

    An apostrophe stands before it, as a spreadsheet would write it.

    >>> print(csv_cell("=1+1"), csv_cell("cat"), csv_cell("-"))
    '=1+1 cat -
    """
    return f"'{text}" if _is_formula(text.lstrip("'")) else text


def from_csv_cell(cell: str) -> str:
    """Returns the text that `csv_cell` was given."""
    hidden = cell.startswith("'") and _is_formula(cell.lstrip("'"))
    return cell[1:] if hidden else cell


def _is_formula(text: str) -> bool:
    """Whether text of more than a sign starts as a formula does."""
    return len(text) > 1 and text.startswith(_FORMULA)
