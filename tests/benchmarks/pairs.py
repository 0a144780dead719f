"""Things timed in turn, and the row of the table that each pair gives.

Load of the machine, and how fast it is, weigh on both of a pair alike: so
their ratio holds where seconds do not.
"""

import pathlib
import re
import resource
import time
from collections.abc import Callable

import numpy as np

Times = dict[str, np.ndarray]
Row = dict[str, object]


def in_turn(functions: dict[str, Callable], rounds: int) -> Times:
    """Times functions of no argument, one after another, in rounds.

    Every other round goes backwards. One call of each comes before, untimed.

    Returns:
        The seconds of every call, `[rounds]` each.
    """
    for function in functions.values():
        function()
    seconds = {name: np.zeros(rounds) for name in functions}
    names = list(functions)
    for i in range(rounds):
        for name in names if i % 2 == 0 else reversed(names):
            started = time.perf_counter()
            functions[name]()
            seconds[name][i] = time.perf_counter() - started
    return seconds


def row(
    what: str,
    against: str,
    ratios: np.ndarray | float,
    *,
    most: float | None = None,
    least: float | None = None,
    **more,
) -> Row:
    """Returns a row: the median of ratios, their quartiles and the goal.

    Args:
        what: is measured.
        against: what.
        ratios: one of every pair.
        most: the goal is at most this.
        least: the goal is at least this.
        **more: further columns of the JSON.
    """
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    reached = None
    if most is not None:
        reached = bool(middle <= most)
    elif least is not None:
        reached = bool(middle >= least)
    return {
        "what": what,
        "against": against,
        "ratio": rounded(middle),
        "quartiles": [rounded(low), rounded(high)],
        "pairs": int(np.size(ratios)),
        "most": most,
        "least": least,
        "reached": reached,
        **more,
    }


def peak_mb() -> float:
    """Returns the most memory that this process has held, in MB."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # the other would count that of the parent, too
        peak = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        if peak:
            return rounded(int(peak[1]) / 1024)
    return rounded(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def rounded(value: float) -> float:
    """Returns three digits of a number."""
    return float(f"{value:.3g}")
