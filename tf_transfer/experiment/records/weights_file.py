"""`weights.csv`: the weights of all source classes, for every seed of a run."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np

from tf_transfer.datl import diagnostics
from tf_transfer.errors import InputError
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.utils.escaping import csv_cell, from_csv_cell
from tf_transfer.utils.storage.folders import Folder

NAME = "weights.csv"
_MOST = 2**29  # bytes of it
_LARGEST = 1e12  # value: weights have the mean 1 over the source's examples
_ENCODING = {"encoding": "utf-8", "errors": "surrogatepass"}
_KEYS = ("seed", "class_id", "class")
_COLUMNS = (
    "source_prior",
    "target_prior",
    "target_prior_low",
    "target_prior_high",
    "weight",
)
_LEARNED = "_weight"


@dataclasses.dataclass(frozen=True, eq=False)
class WeightTable:
    """Priors and weights of C source classes, for one or more seeds.

    Attributes:
        class_names: of the source, C of them.
        seeds: in the order of the rows of `columns`.
        columns: arrays `[seeds, C]` by name: `source_prior` (P_s),
            `target_prior` (P_t) with the ends of its interval,
            `target_prior_low` and `target_prior_high`, DATL's `weight`, and
            `METHOD_weight` for each method that learns weights.

    Example:

    >>> table = WeightTable(["cat", "dog"], [0, 1], {
    ...     "source_prior": np.array([[0.5, 0.5], [0.5, 0.5]]),
    ...     "weight": np.array([[0.4, 1.6], [0.8, 1.2]])})
    >>> table.mean("weight").round(1).tolist()
    [0.6, 1.4]
    >>> [table.class_names[c] for c in table.top(1)]
    ['dog']
    """

    class_names: Sequence[str]
    seeds: Sequence[int]
    columns: Mapping[str, np.ndarray]

    @classmethod
    def from_run(
        cls,
        run: SeedRun,
        learned: Mapping[str, Sequence[float]] | None = None,
    ) -> "WeightTable":
        """Returns the table of one seed, whose weights DATL estimates.

        Args:
            run: of the seed.
            learned: weights by the method that learned them, each `[C]`.
        """
        estimate = run.estimate_target_prior()
        low, high = estimate.interval
        columns = {
            "source_prior": run.source.prior,
            "target_prior": estimate.prior,
            "target_prior_low": low,
            "target_prior_high": high,
            "weight": run.estimate_importance().numpy().astype(float),
        }
        for method, weights in (learned or {}).items():
            columns[method + _LEARNED] = weights
        arrays = {name: np.asarray(v)[None] for name, v in columns.items()}
        return cls(run.source.class_names, [run.seed], arrays)

    @classmethod
    def join(cls, tables: Sequence["WeightTable"]) -> "WeightTable":
        """Puts the seeds of several tables of the same columns together."""
        seeds = [seed for table in tables for seed in table.seeds]
        columns = {
            name: np.concatenate([table.columns[name] for table in tables])
            for name in tables[0].columns
        }
        return cls(tables[0].class_names, seeds, columns)

    @classmethod
    def read_csv(cls, run: Folder) -> "WeightTable":
        """Reads what `write_csv` has written in the folder of a run.

        Raises:
            InputError: if the file is absent or damaged.
        """
        try:
            text = (run.read(NAME, _MOST) or b"").decode(**_ENCODING)
            rows = csv.DictReader(io.StringIO(text, newline=""))
            return cls._parse(list(rows))
        except (
            OSError,
            csv.Error,
            ValueError,
            TypeError,
            LookupError,
        ) as error:
            raise InputError(
                f"The file cannot be read. Received: {run.path / NAME}"
            ) from error

    @classmethod
    def _parse(cls, rows: Sequence[Mapping[str, str]]) -> "WeightTable":
        """Raises one of several errors for rows that are no whole table."""
        seeds = [*dict.fromkeys(int(row["seed"]) for row in rows)]
        class_names = [
            row["class"] for row in rows if int(row["seed"]) == seeds[0]
        ]
        keys = [
            (int(row["seed"]), int(row["class_id"]), row["class"])
            for row in rows
        ]
        if keys != [(s, *c) for s in seeds for c in enumerate(class_names)]:
            raise ValueError("not one row for each class of each seed")
        columns = {
            name: np.array([float(row[name]) for row in rows]).reshape(
                len(seeds), len(class_names)
            )
            for name in dict.fromkeys([*_COLUMNS, *rows[0]])
            if name not in _KEYS
        }
        for values in columns.values():
            if not ((values >= 0) & (values <= _LARGEST)).all():
                raise ValueError(f"not all values lie in 0..{_LARGEST:g}")
        return cls([*map(from_csv_cell, class_names)], seeds, columns)

    def write_csv(self, run: Folder) -> None:
        """Writes a line for each class of each seed; whole or not at all."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([*_KEYS, *self.columns])
        for i, seed in enumerate(self.seeds):
            for c, name in enumerate(self.class_names):
                values = [column[i, c] for column in self.columns.values()]
                writer.writerow([seed, c, csv_cell(name), *values])
        run.write(NAME, text.getvalue().encode(**_ENCODING))

    def first_seed(self) -> "WeightTable":
        """Returns the table of the first seed alone."""
        columns = {name: values[:1] for name, values in self.columns.items()}
        return WeightTable(self.class_names, self.seeds[:1], columns)

    def learned(self) -> dict[str, str]:
        """Returns the columns of learned weights, by method."""
        return {
            name.removesuffix(_LEARNED): name
            for name in self.columns
            if name.endswith(_LEARNED)
        }

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

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ends of DATL's intervals, means over seeds, `[C]`."""
        low, high = diagnostics.weight_interval(
            self.columns["weight"],
            self.columns["target_prior"],
            self.columns["target_prior_low"],
            self.columns["target_prior_high"],
        )
        return low.mean(axis=0), high.mean(axis=0)

    def ranking(self) -> np.ndarray:
        """Returns the classes by DATL's mean weight, the largest first.

        Classes without source examples are left out.
        """
        ranked = np.argsort(-self.mean("weight"), kind="stable")
        return ranked[self.mean("source_prior")[ranked] > 0]

    def top(self, n: int) -> np.ndarray:
        """Returns the `n` classes with the largest weights, largest first.

        No class is both in `top(n)` and in `bottom(n)`: of fewer than `2 n`
        classes, they are the upper and the lower half.
        """
        return self.ranking()[: self._most(n)]

    def bottom(self, n: int) -> np.ndarray:
        """Returns the `n` classes with the smallest weights, smallest first."""
        count = self._most(n)
        return self.ranking()[count:][: -count - 1 : -1]

    def _most(self, n: int) -> int:
        return min(n, (len(self.ranking()) + 1) // 2)
