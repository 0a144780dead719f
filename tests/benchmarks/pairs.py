"""Times functions in turn, and makes a row of the table from each pair.

The speed and the load of the machine affect both functions of a pair alike,
so their ratio is comparable where seconds are not.
"""

import pathlib
import re
import resource
import time
from collections.abc import Callable

import numpy as np

Times = dict[str, np.ndarray]
Row = dict[str, object]


def in_turn(
    functions: dict[str, Callable], rounds: int, warm: bool = True
) -> Times:
    """Times functions without arguments, one after another, in rounds.

    Every other round runs in reverse order.

    Args:
        functions: by name.
        rounds: how often each is timed.
        warm: whether each is called once before, without being timed.

    Returns:
        The seconds of every call, `[rounds]` each.
    """
    for function in functions.values() if warm else ():
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
    """Returns a row: the median and quartiles of ratios, and the goal.

    Args:
        what: what is measured.
        against: what it is compared with.
        ratios: one for each pair.
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
    """Returns the peak memory of this process, in MB."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # `getrusage` includes the parent's
        peak = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        if peak:
            return rounded(int(peak[1]) / 1024)
    return rounded(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def rounded(value: float) -> float:
    """Rounds a number to three digits."""
    return float(f"{value:.3g}")
