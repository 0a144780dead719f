"""Progress and warnings on standard error."""

import sys
import time

from tf_transfer.utils.escaping import printable


class Progress:
    """Prints the current activity and the time left.

    A terminal shows one line, which is updated in place. Elsewhere, each new
    activity and each tenth of the work is printed on a new line.

    Args:
        planned: number of optimizer steps of the whole run.
        quiet: print nothing.
    """

    def __init__(self, planned: int, quiet: bool = False):
        self.planned = planned
        self.quiet = quiet
        self.done = 0
        self.activity = ""
        self.started = time.monotonic()
        self.in_place = sys.stderr.isatty()

    def start(self, activity: str) -> None:
        """Names the current activity."""
        self.activity = printable(activity)
        self._print()

    def advance(self, steps: int) -> None:
        """Counts optimizer steps that are done."""
        tenth = 10 * self.done // max(1, self.planned)
        self.done += steps
        if self.in_place or 10 * self.done // max(1, self.planned) > tenth:
            self._print()

    def clear(self) -> None:
        """Makes room for other lines."""
        if self.in_place and not self.quiet:
            print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the line."""
        if self.in_place and not self.quiet and self.planned:
            print(file=sys.stderr)

    def _print(self) -> None:
        if self.quiet:
            return
        share = min(1.0, self.done / max(1, self.planned))
        elapsed = time.monotonic() - self.started
        left = "estimating time left"
        if share > 0.01:
            left = f"{duration(elapsed * (1 - share) / share)} left"
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
    """Prints an activity from before the work can be measured."""
    print(f"[  0%] {printable(activity)}", file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """Prints a warning."""
    print(f"Warning: {printable(sentence)}", file=sys.stderr, flush=True)
