"""What a run shows, in sentences and a table for the terminal."""

from collections.abc import Sequence

import numpy as np

from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.statistics import (
    BASELINE,
    Gain,
    Result,
    Row,
    against_controls,
    choose,
    gain,
)


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
    judged = [method for method in methods if METHODS[method].controls]
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
    heads = {
        r.get("head") for r in results if METHODS[r["method"]].head is None
    }
    if heads == {"fresh"}:
        related = any(r["method"] == "finetune_related" for r in results)
        but = " but finetune_related" if related else ""
        return [f"All methods{but} start from a fresh head."]
    if heads == {"related"}:
        run = {r["method"] for r in results}
        fresh = [m for m in METHODS if METHODS[m].head == "fresh" and m in run]
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


def points(mean: float, half: float, sign: bool = False) -> str:
    """Lays out a share and its interval in per cent, e.g. `90.1 +- 1.2`."""
    shown = f"{100 * mean:+.1f}" if sign else f"{100 * mean:.1f}"
    return f"{shown} +- {100 * half:.1f}" if np.isfinite(half) else shown
