"""Texts in figures, in any script for which there is a font."""

import functools
import os
import pathlib

# Fonts with Chinese, Japanese and Korean characters, by how common they are.
_FURTHER = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans JP",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "IPAGothic",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Arial Unicode MS",
)
_NOTE = "? stands for characters that no font on this machine has"


def save(figure, path: str | os.PathLike | pathlib.Path, dpi: int = 120):
    """Saves a figure; characters without a font are drawn as question marks.

    Args:
        figure: a Matplotlib figure with a constrained layout.
        path: the PNG file.
        dpi: dots per inch.
    """
    from matplotlib.text import Text

    missing = _replace_in_ticks(figure)
    for text in figure.findobj(Text):
        drawn = drawable(text.get_text())
        if drawn != text.get_text():
            missing = True
            text.set_text(drawn)
        if not drawn.isascii():
            text.set_fontfamily(list(_fonts()))
    if missing:
        figure.supxlabel(_NOTE, fontsize=7, color="#666")
    figure.savefig(path, dpi=dpi)


def _replace_in_ticks(figure) -> bool:
    """Makes the names at ticks drawable; says whether any was not.

    An axis writes the texts of its ticks anew whenever it is drawn.
    """
    from matplotlib.ticker import FixedLocator

    missing = False
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not isinstance(axis.get_major_locator(), FixedLocator):
                continue
            names = [label.get_text() for label in axis.get_ticklabels()]
            drawn = [drawable(name) for name in names]
            if drawn != names:
                axis.set_ticklabels(drawn)
                missing = True
    return missing


def drawable(text: str) -> str:
    r"""Returns a text with question marks for what no font has.

    >>> drawable("a\ue000b")
    'a?b'
    """
    if text.isascii():
        return text
    known = frozenset().union(*_fonts().values())
    return "".join(c if ord(c) in known or c == "\n" else "?" for c in text)


@functools.cache
def _fonts() -> dict[str, frozenset[int]]:
    """Returns the characters of each font that texts are drawn with."""
    from matplotlib import font_manager, ft2font

    fonts = {}
    for family in ("DejaVu Sans", *_FURTHER):
        try:
            path = font_manager.findfont(family, fallback_to_default=False)
        except ValueError:
            continue
        fonts[family] = frozenset(ft2font.FT2Font(path).get_charmap())
    return fonts
