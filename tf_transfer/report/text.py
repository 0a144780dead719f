"""The results of a run as sentences, and as a table for the terminal."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.datl.diagnostics import (
    NEARLY_EQUAL,
    Diagnostics,
    effective_classes,
    top_and_bottom,
)
from tf_transfer.experiment.results import Result
from tf_transfer.experiment.statistics import (
    BASELINE,
    CONTROLS,
    HEADS,
    Gain,
    Row,
    against_controls,
    choose,
    gain,
)


def table(rows: Sequence[Row], seeds: int) -> str:
    """Formats the closing table as text, with accuracies in per cent."""
    lines = [f"{'method':<17}{'target accuracy %':>19}{'gain':>15}{'min':>7}"]
    for row in rows:
        over_base = "-"
        if row.gain:
            over_base = points(row.gain.mean, row.gain.interval, sign=True)
        lines.append(
            f"{row.method:<17}{points(row.accuracy, row.interval):>19}"
            f"{over_base:>15}{row.minutes:>7.2f}{'  chosen' * row.chosen}"
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
    """Summarises the gains on the test images; the choice comes last."""
    if BASELINE not in methods or len({r.seed for r in results}) < 2:
        return []
    sentences, helped = [], False
    chosen = choose(results, methods)
    judged = [method for method in CONTROLS if method in methods]
    for method in judged + [chosen] * (chosen not in judged):
        over_base = gain(results, method, BASELINE)
        if over_base is None:
            continue
        helped |= over_base.significant and over_base.mean > 0
        sentences.append(
            _sentence(method, over_base) + _controls(results, method)
        )
    if sentences and not helped:
        sentences.append(
            "No method shows a significant gain here: more labels, more seeds "
            "or another source may help."
        )
    return [*sentences, *_heads(results), _choice(results, chosen, helped)]


def _choice(results: Sequence[Result], chosen: str, helped: bool) -> str:
    """Names the choice, and says if the test images do not confirm it."""
    if chosen == BASELINE:
        but = ", though others gain on the test images" if helped else ""
        return f"By the validation images plain fine-tuning is the choice{but}."
    over_base = gain(results, chosen, BASELINE)
    confirmed = over_base is None or (
        over_base.significant and over_base.mean > 0
    )
    but = "" if confirmed else ", which the test images do not confirm"
    return f"By the validation images {chosen} is the choice{but}."


def _heads(results: Sequence[Result]) -> list[str]:
    """Names the heads that the methods start from."""
    heads = {r.head for r in results if r.method not in HEADS}
    if heads == {"fresh"}:
        related = any(r.method == "finetune_related" for r in results)
        but = " except finetune_related" if related else ""
        return [f"All methods{but} start from a fresh head."]
    if heads == {"related"}:
        run = {r.method for r in results}
        fresh = [m for m, head in HEADS.items() if head == "fresh" and m in run]
        return [
            f"{' and '.join(fresh)} {'start' if len(fresh) > 1 else 'starts'} "
            "from a fresh head, the other methods from a related one."
        ]
    return []


def _sentence(method: str, over_base: Gain) -> str:
    amount = points(abs(over_base.mean), over_base.interval)
    if not over_base.significant:
        amount = points(over_base.mean, over_base.interval, sign=True)
        return (
            f"{method} shows no significant difference from fine-tuning here "
            f"({amount} points)"
        )
    verb = "gains" if over_base.mean > 0 else "loses"
    return f"{method} {verb} {amount} points here"


def _controls(results: Sequence[Result], method: str) -> str:
    """Lists the controls a method beats, loses to, or does not differ from."""
    better, worse, equal = [], [], []
    for control, difference in against_controls(results, method).items():
        if not difference.significant:
            equal.append(control)
        else:
            (better if difference.mean > 0 else worse).append(control)
    parts = {
        "better than": better,
        "worse than": worse,
        "no significant difference from": equal,
    }
    clauses = (
        f"; {how} {', '.join(names)}" for how, names in parts.items() if names
    )
    return "".join(clauses) + "."


def points(mean: float, half: float, sign: bool = False) -> str:
    """Formats a share and its interval in per cent, e.g. `90.1 +- 1.2`."""
    text = f"{100 * mean:+.1f}" if sign else f"{100 * mean:.1f}"
    return f"{text} +- {100 * half:.1f}" if np.isfinite(half) else text


def ignorance(right: float, classes: int) -> str | None:
    """Says of a generalist that it knows too little, if so.

    Args:
        right: share of source images of each class on which it is right.
        classes: of the source.
    """
    chance = 1 / classes
    if right - chance > _KNOWS * (1 - chance) or classes == 1:
        return None
    return (
        f"The generalist is right on only {right:.0%} of its own source images "
        f"({chance:.0%} by chance): its weights say little; train it longer "
        "(`generalist.steps`)."
    )


def verdict(
    rows: Sequence[dict[str, Any]], found: Diagnostics, right: float
) -> str:
    """Says in words which source classes the target resembles.

    Args:
        rows: one of every source class.
        found: of the weights.
        right: share of source images on which the generalist is right.
    """
    large, small = top_and_bottom(rows, _SHOWN)
    top = "  ".join(f"{row['class']} {row['weight']:.1f}" for row in large)
    bottom = "  ".join(row["class"] for row in small)
    prior = np.array([row["target_prior"] for row in rows])
    classes = effective_classes(prior)
    known = sum(row["source_prior"] > 0 for row in rows)
    unsure = ignorance(right, known)
    cut = f"; cut off by the clip {found.clipped:.1%}" if found.clipped else ""
    lines = [
        f"The target looks like about {classes:.0f} of {known} source classes.",
        f"Most like it (weight):  {top}",
        f"Least like it:          {bottom}",
        f"Effective sample size: {found.ess:.1%} of the source; largest "
        f"weight {found.largest:.1f}{cut}.",
    ]
    if unsure:
        lines.append(f"Warning: {unsure}")
        return "\n".join(lines)
    lines.append(
        f"The generalist is right on {right:.0%} of its own source images."
    )
    if found.advice:
        lines.append(f"Warning: {found.advice}")
    elif found.ess > NEARLY_EQUAL:
        lines.append(
            "The weights are nearly equal: weighting can change little here."
        )
    else:
        lines.append(
            "If the classes above make sense to you, weighted pre-training is "
            "worth a try: `tf-transfer compare` with the same flags."
        )
    return "\n".join(lines)


_SHOWN = 12


_KNOWS = 0.2  # of what there is between chance and always right
