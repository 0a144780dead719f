"""Compares methods over seeds: gains, confidence intervals, the choice."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.methods.baselines import BY_HEAD
from tf_transfer.experiment.records.results import Result


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the half width of its 95 % confidence interval.

    The interval is Student's; that of a single value is infinite.
    """
    from scipy.stats import sem, t

    values = np.asarray(values, np.float64)
    n = len(values)
    if n < 2:
        return float(values.mean()), float("inf")
    return float(values.mean()), float(t.ppf(0.975, n - 1) * sem(values))


def roc_area(relevant: np.ndarray, scores: np.ndarray) -> float:
    """Returns the area under the ROC curve, in 0..1; chance gives 0.5.

    Args:
        relevant: `[N]` bool, with both values.
        scores: `[N]`, which should be larger where `relevant` is True.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(relevant, scores))


@dataclasses.dataclass(frozen=True)
class Gain:
    """A mean paired difference of accuracies, in 0..1.

    Attributes:
        mean: over seeds.
        interval: half width of its 95 % confidence interval.
        error: its standard error.
    """

    mean: float
    interval: float
    error: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return abs(self.mean) > self.interval


def gain(
    results: Sequence[Result], method: str, base: str, part: str = "test"
) -> Gain | None:
    """Returns the paired difference between two methods over seeds.

    Args:
        results: of these and other methods.
        method: the method.
        base: the method to compare it with.
        part: `"test"` or `"validation"`.

    Returns:
        The accuracy of `method` minus that of `base`; None if they have no
        seed in common.
    """
    from scipy.stats import sem

    accuracies, base_accuracies = (
        {r.seed: getattr(r, part).accuracy for r in results if r.method == name}
        for name in (method, base)
    )
    differences = [
        accuracy - base_accuracies[seed]
        for seed, accuracy in accuracies.items()
        if seed in base_accuracies
    ]
    if not differences or method == base:
        return None
    error = float(sem(differences)) if len(differences) > 1 else float("inf")
    return Gain(*mean_interval(differences), error)


def baseline(results: Sequence[Result], methods: Sequence[str]) -> str:
    """Returns the fine-tuning to which the methods are compared.

    It is the one with the head that the methods start from, so that a gain is
    not that of the head: the related one unless they start from a fresh head.

    Args:
        results: of the methods.
        methods: their names.

    Returns:
        A method's name; the other fine-tuning if that one was not run, and ""
        if neither was.
    """
    heads = {
        r.head or "related"
        for r in results
        if r.method in METHODS and METHODS[r.method].head is None
    }
    first = "fresh" if heads == {"fresh"} else "related"
    names = (BY_HEAD[first], *BY_HEAD.values())
    return next((name for name in names if name in methods), "")


def base_of(rows: Sequence["Row"]) -> str:
    """Returns the method to which the rows of a table are compared, or ""."""
    bases = [r.method for r in rows if r.gain is None]
    return next((name for name in bases if name in BY_HEAD.values()), "")


def choose(results: Sequence[Result], methods: Sequence[str]) -> str:
    """Returns the method to use, by the validation images alone.

    It follows the one-standard-error rule of Breiman et al. 1984, section
    3.4.3. The choice is the method with the largest difference between its
    gain over the `baseline` and the standard error of that gain, or the
    baseline itself if the difference is negative for all others. Of equal
    methods the one with the smaller loss is chosen. Without a baseline, or
    with a single seed, the most accurate method is chosen. Controls are chosen
    only if there is nothing else.
    """
    base = baseline(results, methods)
    candidates = [m for m in methods if METHODS[m].candidate] or methods
    if not base or len({r.seed for r in results}) < 2:
        return ranking(results, candidates)[0]
    merits = dict.fromkeys(candidates, -np.inf) | {base: 0.0}
    for method in candidates:
        over_base = gain(results, method, base, "validation")
        if over_base:
            # Rounded, so that equal merits stay equal.
            merits[method] = round(over_base.mean - over_base.error, 9)
    best = [m for m in candidates if merits[m] == max(merits.values())]
    return min(best, key=lambda method: mean_validation(results, method)[1])


def ranking(results: Sequence[Result], methods: Sequence[str]) -> list[str]:
    """Returns the methods by mean validation accuracy, the best first.

    Of equal methods, the one with the smaller loss comes first.
    """

    def merit(method: str) -> tuple[float, float]:
        accuracy, loss = mean_validation(results, method)
        return -round(accuracy, 9), loss  # equal accuracies stay equal

    return sorted(methods, key=merit)


def mean_validation(
    results: Sequence[Result], method: str
) -> tuple[float, float]:
    """Returns a method's mean accuracy and loss on validation images."""
    scores = [r.validation for r in results if r.method == method]
    return (
        float(np.mean([each.accuracy for each in scores])),
        float(np.mean([each.loss for each in scores])),
    )


def first_seed(results: Sequence[Result], method: str) -> Result:
    """Returns the result of the seed whose model is exported.

    It is the first one, whatever its scores are: seeds have different
    validation images, and the largest of their accuracies belongs to the
    easiest images. So the accuracy to expect is the mean over seeds.
    """
    seeds = [r for r in results if r.method == method]
    return min(seeds, key=lambda result: result.seed)


@dataclasses.dataclass(frozen=True)
class Row:
    """One method in the closing table; accuracies in 0..1.

    Attributes:
        method: its name.
        accuracy, interval: mean test accuracy over seeds, and the half width
            of its 95 % confidence interval.
        gain: paired difference to the `baseline`; None for the baseline
            itself, or if there is none.
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
    """Returns one row per method, from the results of all seeds."""
    chosen, base = choose(results, methods), baseline(results, methods)
    rows = []
    for method in methods:
        seeds = [r for r in results if r.method == method]
        accuracy = mean_interval([r.test.accuracy for r in seeds])
        minutes = float(np.mean([r.seconds for r in seeds])) / 60
        rows.append(
            Row(
                method,
                *accuracy,
                gain(results, method, base),
                minutes,
                method == chosen,
            )
        )
    return rows


def against_controls(results: Sequence[Result], method: str) -> dict[str, Gain]:
    """Returns the gains of a method over each of its controls that was run."""
    # With another head, a control would attribute the head's gain to the
    # method.
    heads = {r.head or "related" for r in results if r.method == method}
    gains = {
        control: gain(results, method, control)
        for control in METHODS[method].controls
        if heads
        >= {r.head or "related" for r in results if r.method == control}
    }
    return {control: each for control, each in gains.items() if each}
