"""Progress and warnings on standard error.

Lines of work begin with the share that is done, `[ 25%]`; facts with `[note]`,
and warnings with `Warning:`. A terminal shows progress on one line, which is
updated in place, and breaks the others between words.
"""

import contextlib
import dataclasses
import sys
import threading
import time
from collections.abc import Iterator

from tf_transfer.utils import terminal
from tf_transfer.utils.escaping import printable

_PAUSE = 10.0  # seconds without a line


@dataclasses.dataclass
class _Last:
    """The last line of progress, when it was new, and when it was printed.

    `open` says whether the terminal's cursor is still in it.
    """

    line: str = ""
    since: float = 0.0
    printed: float = 0.0
    in_place: bool = False
    open: bool = False


_last = _Last()


@contextlib.contextmanager
def alive(quiet: bool = False, pause: float = _PAUSE) -> Iterator[None]:
    """Repeats the last line of progress when nothing new is printed for long.

    Args:
        quiet: do nothing.
        pause: seconds without a line.
    """
    if quiet:
        yield
        return
    stop = threading.Event()

    def watch():
        while not stop.wait(pause / 10):
            now = time.monotonic()
            if _last.line and now - _last.printed >= pause:
                spent = duration(now - _last.since)
                _print_line(f"{_last.line}, for {spent} now", _last.in_place)
                _last.printed = now

    rest()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        rest()


def rest() -> None:
    """Lets `alive` be silent until the next line."""
    _last.line = ""


def _say(line: str, in_place: bool = False) -> None:
    """Prints a line of progress, and remembers it."""
    _print_line(line, in_place)
    now = time.monotonic()
    _last.line, _last.in_place = line, in_place
    _last.since = _last.printed = now


def _print_line(line: str, in_place: bool) -> None:
    if in_place:
        room = _room()
        line = line if len(line) <= room else line[: room - 1] + "\u2026"
        print(f"\r{line:<{room}}", end="", file=sys.stderr, flush=True)
        _last.open = True
    else:
        _print(line)


def _room() -> int:
    """Returns how many letters do not move a terminal to its next line."""
    return (terminal.columns(sys.stderr) or 80) - 1


def _print(text: str) -> None:
    """Prints lines in place of one that is updated."""
    clear()
    text = terminal.filled(text, sys.stderr, indent=" " * 7)
    print(text, file=sys.stderr, flush=True)
    _last.printed = time.monotonic()


def clear() -> None:
    """Removes the line that is updated in place, if there is one."""
    if _last.open:
        print(f"\r{'':<{_room()}}\r", end="", file=sys.stderr, flush=True)
        _last.open = False


def end_line() -> None:
    """Leaves the line that is updated in place, if there is one."""
    if _last.open:
        print(file=sys.stderr, flush=True)
        _last.open = False


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
        if not self.quiet:
            clear()

    def close(self) -> None:
        """Ends the line."""
        if not self.quiet:
            end_line()

    def _print(self) -> None:
        if self.quiet:
            return
        share = min(1.0, self.done / max(1, self.planned))
        elapsed = time.monotonic() - self.started
        left = "estimating time left"
        if share > 0.01:
            left = f"{duration(elapsed * (1 - share) / share)} left"
        _say(f"[{share:4.0%}] {self.activity}, {left}", self.in_place)


def duration(seconds: float) -> str:
    """Returns e.g. `2 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def note(activity: str, share: float = 0.0) -> None:
    """Prints an activity from before or after the work that is measured.

    Args:
        activity: what is done.
        share: of the work that is finished.
    """
    _say(f"[{share:4.0%}] {printable(activity)}")


def fact(sentence: str) -> None:
    """Prints what has been found out or chosen, which is no activity."""
    _print(f"[note] {printable(sentence)}")


def warn(sentence: str) -> None:
    """Prints a warning."""
    _print(f"Warning: {printable(sentence)}")
