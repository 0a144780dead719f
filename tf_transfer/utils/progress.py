"""What a person reads on the terminal: progress, warnings, a first verdict."""

import sys
import time


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
