"""What the benchmarks of many runs share: gains, and tables of their lines."""

import json
import pathlib
from collections.abc import Callable

from tf_transfer.experiment import statistics
from tf_transfer.experiment.records.run_data import Run

Found = dict[str, float]


def gain(run: Run, method: str, other: str) -> Found:
    """Returns the gain of a method over another one in points, if there is."""
    found = statistics.gain(run.results, method, other)
    if found is None:
        return {}
    return {
        "gain": round(100 * found.mean, 2),
        "interval": round(100 * found.interval, 2),
    }


def points(found: Found) -> str:
    """Formats a gain."""
    return f"{found['gain']:+.1f} +- {found['interval']:.1f}"


def print_table(path: pathlib.Path, table: Callable[[list[dict]], str]) -> None:
    """Prints the table of a file with a cell of JSON in each line."""
    lines = path.read_text().splitlines()
    print(table([json.loads(line) for line in lines]), end="")
