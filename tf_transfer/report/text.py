"""The results of a run as sentences, and as a table for the terminal."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tf_transfer.config import Data
from tf_transfer.data import splits
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.records.results import Result
from tf_transfer.experiment.statistics import (
    Gain,
    Row,
    against_controls,
    base_of,
    baseline,
    choose,
    gain,
    summary,
)

_FEW_TESTED = 200
_SHORTEST = 16  # columns for the methods' names
_WIDTHS = {"target accuracy %": 20, "gain": 15, "seen": 11, "min": 7}


def labels_used(data: Data) -> str:
    """Says how many target images are labelled, and validated with."""
    labels = data.labels_per_class
    if labels:
        held_out = data.validation_per_class or splits.validation_of(labels)
        return (
            f"{labels} labelled target images per class ({held_out} of them "
            "for validation)"
        )
    held_out = data.validation_per_class
    part = f"{held_out} of each class" if held_out else "a part by turns"
    return f"all labelled target images ({part} for validation)"


def data_used(counts: Mapping[str, int], data: Data) -> list[str]:
    """Says what a run was trained and tested with.

    Args:
        counts: of images; see `DataInfo`.
        data: settings of the run.
    """
    if not counts:
        return []
    all_of = "" if data.labels_per_class else "all "
    unlabelled, more = counts.get("unlabelled", 0), ""
    if unlabelled:
        more = f", and {unlabelled:,} unlabelled ones for the weights"
    return [
        f"Trained with {counts['source']:,} source images and "
        f"{all_of}{counts['labelled']:,} labelled target images, "
        f"{counts['validation']:,} of them for validation{more}; tested with "
        f"{counts['test']:,} others."
    ]


def expected(
    rows: Sequence[Row],
    tested: int | None = None,
    taught: tuple[int, float] | None = None,
) -> list[str]:
    """Says what accuracy to expect of the exported model.

    Args:
        rows: of the closing table.
        tested: the number of test images. If they are few, the intervals over
            seeds, which all have the same test images, promise too much.
        taught: of a model that all seeds have taught, the number of seeds and
            its own accuracy.
    """
    from scipy.stats import binomtest

    (row,) = [row for row in rows if row.chosen]
    accuracy = f"{points(row.accuracy, row.interval)} %"
    sentences = [
        f"The exported model is one of {row.method}: expect an accuracy of "
        f"{accuracy} on new images like the test images (mean over seeds)."
    ]
    if taught:
        sentences = [
            f"The exported model has learned from the models of {taught[0]} "
            f"seeds of {row.method}: expect an accuracy of {accuracy}, their "
            "mean, on new images like the test images. On these, its own "
            f"accuracy is {100 * taught[1]:.1f} %."
        ]
    if tested and tested < _FEW_TESTED:
        right = binomtest(round(row.accuracy * tested), tested)
        low, high = right.proportion_ci(method="wilson")
        sentences.append(
            f"There are only {tested} test images: by them alone, an accuracy "
            f"from {100 * low:.0f} to {100 * high:.0f} % is possible."
        )
    return sentences


def table(
    rows: Sequence[Row],
    seeds: int,
    seen: Mapping[str, int] | None = None,
    width: int | None = None,
) -> str:
    """Formats the closing table as text, with accuracies in per cent.

    A sentence that explains it follows on a line of its own.

    Args:
        rows: of the table.
        seeds: how many the run has.
        seen: by method, how many source images its model has seen.
        width: of the terminal, in columns; a table that is wider leaves out
            `seen`, then `min`.
    """
    lines, columns = _lines(rows, seen, width)
    base, seed = base_of(rows), "seed" if seeds == 1 else "seeds"
    parts = [f"{seeds} {seed}; +- is a 95 % interval over seeds"]
    if base:
        parts.append(f"gain is the paired difference to {base} in points")
    if "seen" in columns:
        parts.append("seen counts source images, the generalist's included")
    if "min" in columns:
        parts.append(
            "min is minutes per seed, without the generalist that all but "
            "scratch share"
        )
    parts.append("chosen by the validation images")
    return f"{lines}\n{'; '.join(parts)}."


def interim_table(
    results: Sequence[Result],
    methods: Sequence[str],
    seeds: int,
    width: int | None = None,
) -> str:
    """Formats what the closing table would be by the results so far.

    Args:
        results: of at least one method.
        methods: all methods of the run.
        seeds: how many the run has.
        width: of the terminal, in columns.
    """
    begun = {r.method for r in results}
    rows = summary(results, [name for name in methods if name in begun])
    # A choice would need all of them.
    rows = [dataclasses.replace(row, chosen=False) for row in rows]
    done = len(results), seeds * len(methods)
    lines, _ = _lines(rows, width=width)
    return f"{done[0]} of {done[1]} trainings\n{lines}"


def _lines(
    rows: Sequence[Row],
    seen: Mapping[str, int] | None = None,
    width: int | None = None,
) -> tuple[str, list[str]]:
    """Formats a heading and a line for each method.

    Returns:
        The lines, and the names of the columns after the method's.
    """
    cells = {
        "target accuracy %": [points(r.accuracy, r.interval) for r in rows],
        "gain": [
            points(r.gain.mean, r.gain.interval, sign=True) if r.gain else "-"
            for r in rows
        ],
        "seen": [f"{seen[r.method]:,}" for r in rows] if seen else [],
        "min": [f"{r.minutes:.2f}" for r in rows],
    }
    cells = {name: column for name, column in cells.items() if column}
    first = max([_SHORTEST, *(len(r.method) for r in rows)])
    beside = first + len("  chosen") * any(r.chosen for r in rows)
    for name in ("", "seen", "min"):
        cells.pop(name, None)
        whole = beside + sum(_WIDTHS[each] for each in cells)
        if width is None or whole < width:
            break
    lines = ["method".ljust(first)]
    lines[0] += "".join(f"{name:>{_WIDTHS[name]}}" for name in cells)
    for i, row in enumerate(rows):
        line = "".join(f"{cells[n][i]:>{_WIDTHS[n]}}" for n in cells)
        lines.append(f"{row.method:<{first}}{line}{'  chosen' * row.chosen}")
    return "\n".join(lines), [*cells]


def advice(results: Sequence[Result], methods: Sequence[str]) -> list[str]:
    """Summarises the gains on the test images; the choice comes last."""
    base = baseline(results, methods)
    if not base or len({r.seed for r in results}) < 2:
        return []
    sentences, helped = [], False
    chosen = choose(results, methods)
    judged = [method for method in methods if METHODS[method].controls]
    for method in judged + [chosen] * (chosen not in judged):
        over_base = gain(results, method, base)
        if over_base is None:
            continue
        helped |= over_base.significant and over_base.mean > 0
        sentences.append(
            _sentence(method, over_base, base)
            + _controls(results, method, base)
        )
    if sentences and not helped:
        sentences.append(
            "No method shows a significant gain here: more labels, more seeds "
            "or another source may help."
        )
    choice = _choice(results, chosen, base, helped)
    return [*sentences, *_heads(results), choice]


def _choice(
    results: Sequence[Result], chosen: str, base: str, helped: bool
) -> str:
    """Names the choice, and says if the test images do not confirm it."""
    if chosen == base:
        but = ", though others gain on the test images" if helped else ""
        return (
            f"By the validation images {base}, fine-tuning from the whole "
            f"source, is the choice{but}."
        )
    over_base = gain(results, chosen, base)
    confirmed = over_base is None or (
        over_base.significant and over_base.mean > 0
    )
    but = "" if confirmed else ", which the test images do not confirm"
    return f"By the validation images {chosen} is the choice{but}."


def _heads(results: Sequence[Result]) -> list[str]:
    """Names the heads that the methods start from."""
    methods = dict.fromkeys(r.method for r in results)
    own = {name: METHODS[name].head for name in methods}
    heads = {r.head for r in results if own[r.method] is None}
    if heads == {"fresh"}:
        related = [name for name, head in own.items() if head == "related"]
        but = f" except {' and '.join(related)}" if related else ""
        return [f"All methods{but} start from a fresh head."]
    if heads == {"related"}:
        fresh = [name for name, head in own.items() if head == "fresh"]
        if not fresh:
            return ["All methods start from a related head."]
        return [
            f"{' and '.join(fresh)} {'start' if len(fresh) > 1 else 'starts'} "
            "from a fresh head, the other methods from a related one."
        ]
    return []


def _sentence(method: str, over_base: Gain, base: str) -> str:
    amount = points(abs(over_base.mean), over_base.interval)
    if not over_base.significant:
        amount = points(over_base.mean, over_base.interval, sign=True)
        return (
            f"{method} shows no significant difference from {base} here "
            f"({amount} points)"
        )
    how = "gains", "over"
    if over_base.mean < 0:
        how = "loses", "against"
    return f"{method} {how[0]} {amount} points {how[1]} {base} here"


def _controls(results: Sequence[Result], method: str, base: str) -> str:
    """Lists the controls a method beats, loses to, or does not differ from.

    The baseline is told before.
    """
    better, worse, equal = [], [], []
    for control, difference in against_controls(results, method).items():
        if control == base:
            continue
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
