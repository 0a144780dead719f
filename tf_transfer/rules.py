"""What a value of a setting must be. Imports no TensorFlow."""

import dataclasses
from collections.abc import Callable
from typing import Any

_SMALLEST = 1e-12


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What a value of a setting must be.

    Attributes:
        sentence: the end of the error message, such as `must be positive`.
        holds: tells whether a value obeys the rule.
        choices: all values that obey, where they can be listed.
    """

    sentence: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


positive = Rule("must be positive", lambda value: value > _SMALLEST)
not_negative = Rule("must not be negative", lambda value: value >= 0)
share = Rule("must be between 0 and 1", lambda value: 0 < value < 1)
fraction = Rule("must be above 0 and at most 1", lambda value: 0 < value <= 1)
positive_numbers = Rule(
    "must hold positive numbers",
    lambda values: all(value > 0 for value in values),
)


def at_least(least: int) -> Rule:
    """Returns the rule for a number that has a smallest value."""
    return Rule(f"must be at least {least}", lambda value: value >= least)


def between(least: int, most: int) -> Rule:
    """Returns the rule for a number that has a smallest and a largest value."""
    sentence = f"must be from {least:,} to {most:,}"
    return Rule(sentence, lambda value: least <= value <= most)


def one_of(*choices: str) -> Rule:
    """Returns the rule for a word out of a list."""
    sentence = f"must be one of {', '.join(choices)}"
    return Rule(sentence, choices.__contains__, choices)


def setting(default: Any, rule: Rule) -> Any:
    """Returns a field of a dataclass whose value must obey a rule."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def from_data(unset: Any, rule: Rule) -> Any:
    """Returns such a field that follows from the data unless it is set.

    Args:
        unset: its default, which stands for what the data suggest.
        rule: which the default must obey, too.
    """
    metadata = {"rule": rule, "from_data": True}
    return dataclasses.field(default=unset, metadata=metadata)
