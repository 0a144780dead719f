"""`weights.csv`: the weights of every source class and seed of a run."""

import csv
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.datl import diagnostics
from tf_transfer.errors import InputError
from tf_transfer.utils.files import replacing

_FILE = "weights.csv"
_NAMES = ("seed", "class_id", "class")


def write(folder: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the file whole or not at all.

    Args:
        folder: of the run.
        rows: of one class of one seed each; seed by seed.
    """
    with (
        replacing(folder / _FILE) as partial,
        open(partial, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


class WeightTable:
    """What the file holds.

    Args:
        folder: of the run.

    Attributes:
        names: of the source classes.
        columns: arrays `[seeds, C]` by name.

    Raises:
        InputError: if the file cannot be read.
    """

    def __init__(self, folder: pathlib.Path):
        path = folder / _FILE
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            seeds = len({row["seed"] for row in rows})
            count = len(rows) // seeds
            self.names = [row["class"] for row in rows[:count]]
            self.columns = {
                name: np.array([float(row[name]) for row in rows]).reshape(
                    seeds, count
                )
                for name in rows[0]
                if name not in _NAMES
            }
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            ZeroDivisionError,
        ) as error:
            raise InputError(
                f"The file cannot be read. Received: {path}"
            ) from error

    def mean(self, column: str) -> np.ndarray:
        """Returns a column's mean over seeds, `[C]`."""
        return self.columns[column].mean(axis=0)

    def sample_size(self, column: str) -> float:
        """Returns the effective share of the source, the mean over seeds."""
        pairs = zip(
            self.columns[column], self.columns["source_prior"], strict=True
        )
        return float(
            np.mean([diagnostics.effective_sample_size(*p) for p in pairs])
        )

    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ends of DATL's intervals, means over seeds, `[C]`."""
        low, high = diagnostics.weight_interval(
            self.columns["weight"],
            self.columns["target_prior"],
            self.columns["target_prior_low"],
            self.columns["target_prior_high"],
        )
        return low.mean(axis=0), high.mean(axis=0)
