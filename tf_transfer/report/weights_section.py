"""The report's sections on the weights of DATL and those L2TL learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.config import L2tl
from tf_transfer.data.image_data import ImageData
from tf_transfer.datl import diagnostics
from tf_transfer.experiment.records.results import Result
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.report import charts, svg
from tf_transfer.report.charts import Bar, LineChart, Series

_LISTED = 10
_EXAMPLES = 6
_MOVED = 3
_LINES = 60


def estimated(
    table: WeightTable,
    source: ImageData | None,
    labelled: ImageData | None,
    passes: float | None = None,
) -> dict[str, Any]:
    """Returns the content of the section on DATL's weights.

    Args:
        table: the weights.
        source: images of the source, if there are any to show.
        labelled: labelled target images, likewise.
        passes: how often the pre-training draws as many images as the source
            has, if that is known.
    """
    ranked = table.ranking()
    top, bottom = (
        charts.bars(table, classes)
        for classes in (ranked[:_LISTED], ranked[_LISTED:][-_LISTED:])
    )
    longest = max(bar.high for bar in (*top, *bottom)) or 1.0

    def row(bar: Bar) -> dict[str, Any]:
        return {
            "name": bar.name,
            "weight": bar.weight,
            "share": 100 * bar.weight / longest,
            "from": 100 * bar.low / longest,
            "to": 100 * bar.high / longest,
            "images": source and _examples(source, bar.class_id),
        }

    prior = table.columns["target_prior"]
    size = table.sample_size("weight")
    return {
        "count": len(table.class_names),
        "alike": float(
            np.mean([diagnostics.effective_classes(p) for p in prior])
        ),
        "top": [row(bar) for bar in top],
        "bottom": [row(bar) for bar in bottom],
        "target": labelled and _target(labelled),
        "size": size,
        "meaning": _meaning(size, passes),
        "of": source and len(source.labels),
        "learned_sizes": {
            method: table.sample_size(column)
            for method, column in table.learned().items()
        },
        "sorted": svg.lines(charts.sorted_weights(table)),
    }


def _meaning(size: float, passes: float | None) -> str:
    repeats = None if passes is None else passes / size
    advice = diagnostics.advice(size, repeats)
    if advice:
        return f"That is little: {advice}"
    if size > diagnostics.NEARLY_EQUAL:
        return "The weights are nearly equal: they can change little here."
    drawn = ""
    if repeats:
        drawn = f": each of its images is drawn {repeats:.1f} times on average"
    return (
        "The smaller it is, the more the training rests on few classes"
        f"{drawn}. An image is worth nearly as much as a new one up to about "
        f"{diagnostics.MOST_REPEATS} times."
    )


def _examples(data: ImageData, label: int) -> dict[str, Any] | None:
    """Returns some images of a class, and their share of the width in %."""
    images = data.images[np.flatnonzero(data.labels == label)[:_EXAMPLES]]
    if not len(images):
        return None
    return {
        "uri": svg.picture(images),
        "share": 100 * len(images) / _EXAMPLES,
    }


def _target(labelled: ImageData) -> dict[str, Any]:
    classes = np.unique(labelled.labels)[: 2 * _LISTED]
    return {
        "classes": [
            {
                "name": labelled.class_names[label],
                "images": _examples(labelled, label),
            }
            for label in classes
        ],
        "more": labelled.num_classes - len(classes),
    }


def learned(
    results: Sequence[Result],
    settings: L2tl,
    names: Sequence[str],
) -> dict[str, Any]:
    """Returns the content of the section on L2TL's learning.

    Args:
        results: of a method that learns weights, one for each seed.
        settings: of L2TL in the run.
        names: of the source classes.
    """
    logs = [result.history["learning"] for result in results]
    logs = {
        name: np.mean([each[name] for each in logs], axis=0) for name in logs[0]
    }
    steps = settings.steps
    return {
        "credit": settings.credit,
        "reward": settings.reward.replace("_", " "),
        "improvement": settings.improvement,
        "has_baseline": "baseline" in logs,
        "scale": _over_time(logs, steps, "expected_scale", "scale"),
        "rewards": _over_time(logs, steps, "reward", "baseline"),
        **_moves(logs["class_weights"], steps, names),
    }


def _times(values: np.ndarray, epochs: int, steps: int) -> np.ndarray:
    """Returns the steps after which values were logged.

    One is logged after each epoch, and for some logs one before the first.
    """
    return np.arange(epochs + 1)[-len(values) :] * steps / epochs


_NAMES = {
    "expected_scale": ("source-loss scale, expected", "red"),
    "scale": ("source-loss scale, drawn", "soft"),
    "reward": ("reward", "red"),
    "baseline": ("baseline", "green"),
}


def _over_time(logs: dict, steps: int, *columns: str) -> str:
    """Draws some of the logs; absent ones are left out."""
    epochs = len(logs["loss"])
    series = []
    for column in columns:
        if column in logs:
            values = logs[column]
            name, colour = _NAMES[column]
            x = _times(values, epochs, steps)
            dash = "dashed" if column == "baseline" else ""
            series.append(Series(name, x, values, colour, dash))
    ends = ", ".join(
        f"{s.name} from {s.y[0]:.3g} to {s.y[-1]:.3g}" for s in series
    )
    y_name = _NAMES[columns[0]][0].split(",")[0]
    return svg.lines(LineChart(series[::-1], f"{ends}.", "step", y_name))


def _moves(
    weights: np.ndarray, steps: int, names: Sequence[str]
) -> dict[str, Any]:
    """Draws the weights over time, `[epochs + 1, C]`, and sums them up."""
    change = weights[-1] - weights[0]
    ranked = np.argsort(-change, kind="stable")
    most = min(_MOVED, len(ranked) // 2)
    up = [c for c in ranked[:most] if change[c] > 0]
    down = [c for c in ranked[::-1][:most] if change[c] < 0]
    some = ranked[
        np.unique(np.linspace(0, len(ranked) - 1, _LINES).astype(int))
    ]
    x = _times(weights, len(weights) - 1, steps)
    series = [
        Series(names[c], x, weights[:, c], colour)
        for colour, classes in (("soft", some), ("blue", down), ("red", up))
        for c in classes
    ]
    moves = ", ".join(
        f"{names[c]} from {weights[0, c]:.2f} to {weights[-1, c]:.2f}"
        for c in (*up, *down)
    )
    alt = f"Class weights over the steps; moved most: {moves}."
    axes = "step", "class weight"
    return {
        "weights": svg.lines(LineChart(series, alt, *axes, named=True)),
        "change": float(np.abs(change).mean()),
        "largest_change": float(np.abs(change).max()),
    }
