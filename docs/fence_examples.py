"""A griffe extension: shows the examples of docstrings as code.

Their lines are not indented below `Example:`, as Google's style wants them.
"""

import re

import griffe

_EXAMPLE = re.compile(
    r"^Example:\n\n(?P<code>>>> .*?)(?=\n\n(?!>>>)|\Z)", re.S | re.M
)


class FenceExamples(griffe.Extension):
    """Puts the code after `Example:` between fences."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(
                lambda found: f"```pycon\n{found['code'].rstrip()}\n```",
                obj.docstring.value,
            )
