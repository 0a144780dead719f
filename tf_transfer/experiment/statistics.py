"""What the results of several methods and seeds say, with their intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.experiment import metrics
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.methods.baselines import BASELINE

Result = dict[str, Any]
"""One method and seed: `method`, `seed`, and metrics of `test` and others."""


@dataclasses.dataclass(frozen=True)
class Gain:
    """A mean paired difference of accuracies, in 0..1.

    Attributes:
        mean: over seeds.
        interval: half width of its 95 % interval.
        error: its standard error.
    """

    mean: float
    interval: float
    error: float

    @property
    def told(self) -> bool:
        """Whether the interval leaves out zero."""
        return abs(self.mean) > self.interval


def gain(
    results: Sequence[Result], method: str, base: str, part: str = "test"
) -> Gain | None:
    """Returns the paired difference between two methods over seeds.

    Args:
        results: of both, among others.
        method: the one.
        base: the other.
        part: `"test"` or `"validation"`.

    Returns:
        None if they have no seed in common.
    """
    found, other = (
        {r["seed"]: r[part]["accuracy"] for r in results if r["method"] == name}
        for name in (method, base)
    )
    pairs = [found[seed] - other[seed] for seed in found if seed in other]
    if not pairs or method == base:
        return None
    mean, interval = metrics.mean_interval(pairs)
    error = float("inf")
    if len(pairs) > 1:
        error = float(np.std(pairs, ddof=1) / np.sqrt(len(pairs)))
    return Gain(mean, interval, error)


def choose(results: Sequence[Result], methods: Sequence[str]) -> str:
    """Returns the method to use, by the validation images alone.

    That with the largest gain over fine-tuning less its standard error, after
    the one-standard-error rule of Breiman et al. 1984, section 3.4.3;
    fine-tuning itself if that is below zero for all. Between equals the
    smaller loss decides. Without fine-tuning or with one seed, the most
    accurate. Controls are no candidates unless there is nothing else.
    """
    candidates = [m for m in methods if METHODS[m].candidate] or methods
    if BASELINE not in methods or len({r["seed"] for r in results}) < 2:
        return most_accurate(results, candidates)
    merits = dict.fromkeys(candidates, -np.inf) | {BASELINE: 0.0}
    for method in candidates:
        found = gain(results, method, BASELINE, "validation")
        if found:
            # Equal but for rounding is equal.
            merits[method] = round(found.mean - found.error, 9)
    best = [m for m in candidates if merits[m] == max(merits.values())]
    return min(best, key=lambda method: _mean_validation(results, method)[1])


def most_accurate(results: Sequence[Result], methods: Sequence[str]) -> str:
    """Returns the method of the largest mean validation accuracy.

    Between equals the smaller loss decides.
    """

    def merit(method: str) -> tuple[float, float]:
        accuracy, loss = _mean_validation(results, method)
        return round(accuracy, 9), -loss  # equal but for rounding is equal

    return max(methods, key=merit)


def _mean_validation(
    results: Sequence[Result], method: str
) -> tuple[float, float]:
    """Returns a method's mean accuracy and loss on validation images."""
    mine = [r["validation"] for r in results if r["method"] == method]
    return tuple(
        float(np.mean([found[name] for found in mine]))
        for name in ("accuracy", "loss")
    )


def best_seed(results: Sequence[Result], method: str) -> Result:
    """Returns a method's result whose model is exported.

    That of the best seed by validation accuracy; between equals the smaller
    loss decides.
    """

    def score(result: Result) -> tuple[float, float]:
        return result["validation"]["accuracy"], -result["validation"]["loss"]

    mine = [r for r in results if r["method"] == method]
    return max(sorted(mine, key=lambda r: r["seed"]), key=score)


@dataclasses.dataclass(frozen=True)
class Row:
    """One method in the closing table; accuracies in 0..1.

    Attributes:
        method: its name.
        accuracy, interval: mean test accuracy over seeds, half width of its
            95 % interval.
        gain: paired difference to `finetune`; None for `finetune` itself or
            where it was not run.
        minutes: mean minutes per seed.
        chosen: whether it is the method that `choose` returns.
    """

    method: str
    accuracy: float
    interval: float
    gain: Gain | None
    minutes: float
    chosen: bool


def summary(results: Sequence[Result], methods: Sequence[str]) -> list[Row]:
    """Returns a row per method from the results of all seeds."""
    chosen = choose(results, methods)
    rows = []
    for method in methods:
        found = [r for r in results if r["method"] == method]
        accuracy = metrics.mean_interval([r["test"]["accuracy"] for r in found])
        minutes = float(np.mean([r["seconds"] for r in found])) / 60
        rows.append(
            Row(
                method,
                *accuracy,
                gain(results, method, BASELINE),
                minutes,
                method == chosen,
            )
        )
    return rows


def against_controls(results: Sequence[Result], method: str) -> dict[str, Gain]:
    """Returns what a method gains over each of its controls that was run."""
    # A control with another head would count the head as the method's gain.
    heads = {r.get("head", "related") for r in results if r["method"] == method}
    gains = {
        control: gain(results, method, control)
        for control in METHODS[method].controls
        if METHODS[control].head in (None, *heads)
    }
    return {control: found for control, found in gains.items() if found}
