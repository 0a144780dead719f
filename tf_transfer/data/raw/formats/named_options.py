"""Options in the names of data sets, such as `csv:all.csv,label=breed`."""

import re
from collections.abc import Sequence

from tf_transfer.errors import InputError


def parse(name: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Splits a name into a path and its options.

    Args:
        name: `PATH,OPTION=VALUE,...`; a comma before anything else belongs to
            the path, or to the value before it.
        known: the options that there are.

    Raises:
        InputError: if an option is given twice, or has no value.

    Example:

    >>> parse("a,b.csv,label=breed", ["path", "label"])
    ('a,b.csv', {'label': 'breed'})
    """
    path, *parts = re.split(rf",(?=(?:{'|'.join(known)})=)", name)
    options = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key in options or not value:
            raise InputError(
                f"An option is given once, with a value; there are "
                f"{', '.join(known)}. Received: {part!r} in {name!r}"
            )
        options[key] = value
    return path, options
