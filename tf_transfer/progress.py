"""What a person reads on the terminal: progress, warnings, a first verdict."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.diagnostics import (
    NEARLY_EQUAL,
    Diagnostics,
    effective_classes,
    top_and_bottom,
)

_SHOWN = 12
_KNOWS = 0.2  # of what there is between chance and always right


class Progress:
    """A line that tells what runs and how long is left.

    It is rewritten in place on a terminal; elsewhere each new activity, and
    each tenth of the work, is a line of its own.

    Args:
        planned: optimizer steps in all.
        quiet: print nothing.
    """

    def __init__(self, planned: int, quiet: bool = False):
        self.planned = planned
        self.quiet = quiet
        self.done = 0
        self.activity = ""
        self.started = time.monotonic()
        self.in_place = sys.stderr.isatty()

    def says(self, activity: str) -> None:
        """Names what runs now."""
        self.activity = activity
        self._print()

    def advance(self, steps: int) -> None:
        """Counts optimizer steps."""
        tenth = 10 * self.done // max(1, self.planned)
        self.done += steps
        if self.in_place or 10 * self.done // max(1, self.planned) > tenth:
            self._print()

    def close(self) -> None:
        """Ends the line."""
        if self.in_place and not self.quiet and self.planned:
            print(file=sys.stderr)

    def _print(self) -> None:
        if self.quiet:
            return
        share = min(1.0, self.done / max(1, self.planned))
        spent = time.monotonic() - self.started
        left = "estimating time left"
        if share > 0.01:
            left = f"{duration(spent * (1 - share) / share)} left"
        line = f"[{share:4.0%}] {self.activity}, {left}"
        if self.in_place:
            print(f"\r{line:<70}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Returns e.g. `2 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def note(activity: str) -> None:
    """Prints what goes on before there is a progress line."""
    print(f"[  0%] {activity}", file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """Prints a warning for a person."""
    print(f"Warning: {sentence}", file=sys.stderr, flush=True)


def ignorance(right: float, classes: int) -> str | None:
    """Says of a generalist that it knows too little, if so.

    Args:
        right: share of source images of each class on which it is right.
        classes: of the source.
    """
    chance = 1 / classes
    if right - chance > _KNOWS * (1 - chance) or classes == 1:
        return None
    return (
        f"The generalist is right on only {right:.0%} of its own source images "
        f"({chance:.0%} by chance): its weights say little; train it longer "
        "(`generalist.steps`)."
    )


def verdict(
    rows: Sequence[dict[str, Any]], found: Diagnostics, right: float
) -> str:
    """Says in words which source classes the target resembles.

    Args:
        rows: one of every source class.
        found: of the weights.
        right: share of source images on which the generalist is right.
    """
    large, small = top_and_bottom(rows, _SHOWN)
    top = "  ".join(f"{row['class']} {row['weight']:.1f}" for row in large)
    bottom = "  ".join(row["class"] for row in small)
    prior = np.array([row["target_prior"] for row in rows])
    classes = effective_classes(prior)
    known = sum(row["source_prior"] > 0 for row in rows)
    unsure = ignorance(right, known)
    cut = f"; cut off by the clip {found.clipped:.1%}" if found.clipped else ""
    lines = [
        f"The target looks like about {classes:.0f} of {known} source classes.",
        f"Most like it (weight):  {top}",
        f"Least like it:          {bottom}",
        f"Effective sample size: {found.ess:.1%} of the source; largest "
        f"weight {found.largest:.1f}{cut}.",
    ]
    if unsure:
        lines.append(f"Warning: {unsure}")
        return "\n".join(lines)
    lines.append(
        f"The generalist is right on {right:.0%} of its own source images."
    )
    if found.advice:
        lines.append(f"Warning: {found.advice}")
    elif found.ess > NEARLY_EQUAL:
        lines.append(
            "The weights are nearly equal: weighting can change little here."
        )
    else:
        lines.append(
            "If the classes above make sense to you, weighted pre-training is "
            "worth a try: `tf-transfer compare` with the same flags."
        )
    return "\n".join(lines)
