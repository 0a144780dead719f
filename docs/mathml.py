"""An mkdocs hook: writes equations as MathML, which browsers draw themselves.

So the site needs no script from another host.
"""

import html
import re

from latex2mathml import converter

_EQUATION = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">'
    r"\\[([](?P<tex>.*?)\\[)\]]</(?P=tag)>",
    re.S,
)


def on_page_content(content: str, **kwargs) -> str:
    """Replaces what `pymdownx.arithmatex` has marked."""
    return _EQUATION.sub(_mathml, content)


def _mathml(found: re.Match) -> str:
    tag = found["tag"]
    # The library sets `\sim` as the letter ~, not as a relation.
    tex = re.sub(r"\\sim\b", "∼", html.unescape(found["tex"]).strip())
    display = "block" if tag == "div" else "inline"
    equation = converter.convert(tex, display=display)
    return f'<{tag} class="arithmatex">{equation}</{tag}>'
