"""What the benchmarks of many runs share: gains, and tables of their lines."""

import json
import pathlib
import time
from collections.abc import Callable

import tf_transfer as tt
from tf_transfer.config import Experiment
from tf_transfer.experiment import statistics
from tf_transfer.experiment.records.run_data import Run

Found = dict[str, float]
Cell = dict[str, object]


def gain(run: Run, method: str, other: str) -> Found:
    """Returns the gain of a method over another one in points, if there is."""
    found = statistics.gain(run.results, method, other)
    if found is None:
        return {}
    return {
        "gain": round(100 * found.mean, 2),
        "interval": round(100 * found.interval, 2),
    }


def accuracies(run: Run, method: str) -> list[float]:
    """Returns the test accuracies of a method, by seed."""
    results = [r for r in run.results if r.method == method]
    results.sort(key=lambda result: result.seed)
    return [round(result.test.accuracy, 4) for result in results]


def compared(
    config: Experiment, cell: Cell, out: str, **arguments
) -> tuple[Run, float]:
    """Runs a cell's comparison; returns the run, and the minutes it took.

    Args:
        config: the experiment.
        cell: what distinguishes it, which names its folder.
        out: the folder of all cells.
        **arguments: of `compare`.
    """
    folder = pathlib.Path(out) / "_".join(map(str, cell.values()))
    started = time.monotonic()
    tt.compare(config, folder, quiet=True, **arguments)
    minutes = (time.monotonic() - started) / 60
    return Run.read(folder), round(minutes, 1)


def points(found: Found) -> str:
    """Formats a gain; nothing if there is none."""
    if not found:
        return ""
    return f"{found['gain']:+.1f} +- {found['interval']:.1f}"


def print_table(path: pathlib.Path, table: Callable[[list[dict]], str]) -> None:
    """Prints the table of a file with a cell of JSON in each line."""
    lines = path.read_text().splitlines()
    print(table([json.loads(line) for line in lines]), end="")
