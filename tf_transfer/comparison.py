"""What the results of several methods and seeds say, with their intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer import metrics

Result = dict[str, Any]
"""One method and seed: `method`, `seed`, and metrics of `test` and others."""

BASELINE = "finetune"
CANDIDATES = ("scratch", "finetune", "finetune_related", "datl", "l2tl")
# How the target head starts where the method itself says so.
HEADS = {
    "scratch": "fresh",
    "finetune": "fresh",
    "finetune_related": "related",
}
# What a method must beat for a gain to be its own.
CONTROLS = {
    "datl": ("finetune_related", "datl_uniform", "datl_reversed"),
    "l2tl": ("finetune_related", "joint", "l2tl_frozen"),
}


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
    candidates = [m for m in methods if m in CANDIDATES] or methods
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


def points(mean: float, half: float, sign: bool = False) -> str:
    """Lays out a share and its interval in per cent, e.g. `90.1 +- 1.2`."""
    shown = f"{100 * mean:+.1f}" if sign else f"{100 * mean:.1f}"
    return f"{shown} +- {100 * half:.1f}" if np.isfinite(half) else shown


def table(rows: Sequence[Row], seeds: int) -> str:
    """Lays the closing table out as text; accuracies in per cent."""
    lines = [f"{'method':<17}{'target accuracy %':>19}{'gain':>15}{'min':>7}"]
    for row in rows:
        shown = "-"
        if row.gain:
            shown = points(row.gain.mean, row.gain.interval, sign=True)
        lines.append(
            f"{row.method:<17}{points(row.accuracy, row.interval):>19}"
            f"{shown:>15}{row.minutes:>7.2f}{'  chosen' * row.chosen}"
        )
    seed = "seed" if seeds == 1 else "seeds"
    lines.append(
        f"{seeds} {seed}; +- is a 95 % interval over seeds; gain is the paired "
        "difference to\nfine-tuning from the whole source, in points; min is "
        "minutes per seed, without\nthe generalist that all but scratch share; "
        "chosen by the validation images."
    )
    return "\n".join(lines)


def advice(results: Sequence[Result], methods: Sequence[str]) -> list[str]:
    """Says in sentences what the intervals on the test images show."""
    if BASELINE not in methods or len({r["seed"] for r in results}) < 2:
        return []
    sentences, helped = [], False
    chosen = choose(results, methods)
    judged = [method for method in CONTROLS if method in methods]
    for method in judged + [chosen] * (chosen not in judged):
        found = gain(results, method, BASELINE)
        if found is None:
            continue
        helped |= found.told and found.mean > 0
        sentences.append(_sentence(method, found) + _controls(results, method))
    if sentences and not helped:
        sentences.append(
            "Nothing is shown to help here: more labels, more seeds or another "
            "source may."
        )
    return [*sentences, *_heads(results), _choice(results, chosen, helped)]


def _choice(results: Sequence[Result], chosen: str, helped: bool) -> str:
    """Names the choice, and where the test images do not bear it out."""
    if chosen == BASELINE:
        but = ", though others gain on the test images" if helped else ""
        return f"By the validation images plain fine-tuning is the choice{but}."
    found = gain(results, chosen, BASELINE)
    borne_out = found is None or (found.told and found.mean > 0)
    but = "" if borne_out else ", which the test images do not confirm"
    return f"By the validation images {chosen} is the choice{but}."


def _heads(results: Sequence[Result]) -> list[str]:
    """Says from which heads the methods start."""
    heads = {r.get("head") for r in results if r["method"] not in HEADS}
    if heads == {"fresh"}:
        related = any(r["method"] == "finetune_related" for r in results)
        but = " but finetune_related" if related else ""
        return [f"All methods{but} start from a fresh head."]
    if heads == {"related"}:
        run = {r["method"] for r in results}
        fresh = [m for m, head in HEADS.items() if head == "fresh" and m in run]
        return [
            f"{' and '.join(fresh)} {'start' if len(fresh) > 1 else 'starts'} "
            "from a fresh head, the other methods from a related one."
        ]
    return []


def _sentence(method: str, found: Gain) -> str:
    amount = points(abs(found.mean), found.interval)
    if not found.told:
        amount = points(found.mean, found.interval, sign=True)
        return (
            f"{method} cannot be told from fine-tuning here ({amount} points)"
        )
    verb = "gains" if found.mean > 0 else "loses"
    return f"{method} {verb} {amount} points here"


def against_controls(results: Sequence[Result], method: str) -> dict[str, Gain]:
    """Returns what a method gains over each of its controls that was run."""
    # A control with another head would count the head as the method's gain.
    heads = {r.get("head", "related") for r in results if r["method"] == method}
    gains = {
        control: gain(results, method, control)
        for control in CONTROLS.get(method, ())
        if HEADS.get(control) in (None, *heads)
    }
    return {control: found for control, found in gains.items() if found}


def _controls(results: Sequence[Result], method: str) -> str:
    """Says than which controls a method is better, and than which worse."""
    better, worse, neither = [], [], []
    for control, found in against_controls(results, method).items():
        told = better if found.mean > 0 else worse
        (told if found.told else neither).append(control)
    parts = {
        "better than": better,
        "worse than": worse,
        "not shown better than": neither,
    }
    said = (
        f"; {how} {', '.join(names)}" for how, names in parts.items() if names
    )
    return "".join(said) + "."
