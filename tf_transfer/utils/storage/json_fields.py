"""Reads the fields of JSON objects, and refuses what does not fit."""

import math
import os
from typing import Any, NoReturn

from tf_transfer.errors import InputError

_LONGEST = 80
_REQUIRED = object()


class Fields:
    """The fields of one JSON object.

    Every method takes the name of a field. It returns the field's value if
    that has the right type, and raises InputError otherwise. With `default`
    the field may be absent.

    Args:
        content: the object.
        name: its place in the file, such as `results[3].test`.
        path: the file, for the error message.

    Example:

    >>> result = Fields({"seed": 3, "seconds": "long"}, "results[0]")
    >>> result.integer("seed")
    3
    >>> try:
    ...     result.number("seconds")
    ... except InputError as error:
    ...     print(error)
    `results[0].seconds` must be a finite number. Received: 'long'
    """

    def __init__(
        self,
        content: Any,
        name: str = "",
        path: str | os.PathLike | None = None,
    ):
        self._name = name
        self._path = path
        if not isinstance(content, dict):
            self._fail(name, "an object", content)
        self.content: dict[str, Any] = content

    def refuse(self, key: str, requirement: str) -> NoReturn:
        """Raises InputError for a field.

        Args:
            key: the field.
            requirement: what it must be, such as "a finite number".
        """
        name = f"{self._name}.{key}" if self._name else key
        self._fail(name, requirement, self.content.get(key))

    def _fail(self, name: str, requirement: str, value: Any) -> NoReturn:
        text = repr(value)
        if len(text) > _LONGEST:
            text = text[:_LONGEST] + "..."
        place = f" in {self._path}" if self._path else ""
        raise InputError(
            f"`{name}` must be {requirement}. Received: {text}{place}"
        )

    def _value(self, key: str, is_valid, requirement: str, default) -> Any:
        if key not in self.content and default is not _REQUIRED:
            return default
        if key not in self.content or not is_valid(self.content[key]):
            self.refuse(key, requirement)
        return self.content[key]

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """Returns a string."""
        return self._value(key, is_text, "a string", default)

    def number(self, key: str, default: Any = _REQUIRED) -> float:
        """Returns a finite number."""
        return self._value(key, is_number, "a finite number", default)

    def integer(
        self, key: str, smallest: int = 0, largest: int = 2**31 - 1
    ) -> int:
        """Returns an integer from `smallest` to `largest`."""
        return self._value(
            key,
            lambda value: type(value) is int and smallest <= value <= largest,
            f"an integer from {smallest} to {largest}",
            _REQUIRED,
        )

    def between(self, key: str, least: float, most: float) -> float:
        """Returns a number from `least` to `most`."""
        return self._value(
            key,
            lambda value: is_number(value) and least <= value <= most,
            f"a number from {least:g} to {most:g}",
            _REQUIRED,
        )

    def texts(self, key: str) -> list[str]:
        """Returns a list of at least one string."""
        return self._value(
            key,
            lambda value: is_list(value, is_text),
            "a list of strings",
            _REQUIRED,
        )

    def numbers(self, key: str, default: Any = _REQUIRED) -> list[float]:
        """Returns a list of at least one finite number."""
        return self._value(
            key,
            lambda value: is_list(value, is_number),
            "a list of finite numbers",
            default,
        )

    def object(self, key: str, default: Any = _REQUIRED) -> "Fields":
        """Returns the fields of an inner object."""
        value = self._value(
            key, lambda value: isinstance(value, dict), "an object", default
        )
        name = f"{self._name}.{key}" if self._name else key
        return Fields(value, name, self._path)


def is_text(value: Any) -> bool:
    """Returns whether a value is a string."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """Returns whether a value is a number that is finite as a float."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def is_list(value: Any, is_valid) -> bool:
    """Returns whether a value is a nonempty list of valid entries."""
    return isinstance(value, list) and bool(value) and all(map(is_valid, value))
