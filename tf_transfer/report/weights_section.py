"""The sections of a report on the weights: DATL's, and those L2TL learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.config import L2tl
from tf_transfer.data.image_data import ImageData
from tf_transfer.datl import diagnostics
from tf_transfer.experiment.results import Result
from tf_transfer.experiment.weights_file import WeightTable
from tf_transfer.report import svg
from tf_transfer.report.svg import Series

_SHOWN = 10
_EXAMPLES = 6
_MOVED = 3
_LINES = 60
_POINTS = 300


def estimated(
    found: WeightTable, source: ImageData | None, labelled: ImageData | None
) -> dict[str, Any]:
    """Returns what the section on DATL's weights shows.

    Args:
        found: the weights.
        source: the source's images, if there are any to show.
        labelled: labelled target images, likewise.
    """
    mean = found.mean("weight")
    ranked = np.argsort(-mean, kind="stable")
    ranked = ranked[found.mean("source_prior")[ranked] > 0]
    bottom = ranked[_SHOWN:][-_SHOWN:]
    top = ranked[:_SHOWN]
    lows, highs = found.reach()
    longest = highs[[*top, *bottom]].max() or 1.0

    def bar(place: int) -> dict[str, Any]:
        low, high = lows[place], highs[place]
        return {
            "name": found.names[place],
            "weight": mean[place],
            "low": low,
            "high": high,
            "share": 100 * mean[place] / longest,
            "from": 100 * low / longest,
            "to": 100 * high / longest,
            "images": source and _examples(source, place),
        }

    prior = found.columns["target_prior"]
    size = found.sample_size("weight")
    return {
        "count": len(mean),
        "alike": float(
            np.mean([diagnostics.effective_classes(p) for p in prior])
        ),
        "top": [bar(place) for place in top],
        "bottom": [bar(place) for place in bottom],
        "target": labelled and _target(labelled),
        "size": size,
        "meaning": _meaning(size),
        "of": source and len(source.labels),
        "learned_size": found.sample_size("l2tl_weight")
        if "l2tl_weight" in found.columns
        else None,
        "sorted": _sorted(found),
    }


def _meaning(size: float) -> str:
    if size < diagnostics.LOW_ESS:
        return (
            "That is little: training repeats few images. Lower `datl.temper` "
            "or set `datl.clip`, or check the framing of the target."
        )
    if size > diagnostics.NEARLY_EQUAL:
        return "The weights are nearly equal: they can change little here."
    return (
        "The smaller it is, the more the training rests on few classes; below "
        f"{100 * diagnostics.LOW_ESS:.0f}\u00a0% it repeats few images."
    )


def _examples(data: ImageData, label: int) -> dict[str, Any] | None:
    """Returns some images of a class, and the share of the room they take."""
    images = data.images[data.labels == label][:_EXAMPLES]
    if not len(images):
        return None
    return {
        "uri": svg.picture(images),
        "share": 100 * len(images) / _EXAMPLES,
    }


def _target(labelled: ImageData) -> dict[str, Any]:
    shown = np.unique(labelled.labels)[: 2 * _SHOWN]
    return {
        "classes": [
            {
                "name": labelled.class_names[label],
                "images": _examples(labelled, label),
            }
            for label in shown
        ],
        "more": labelled.num_classes - len(shown),
    }


def _sorted(found: WeightTable) -> str:
    """Draws the weights of all classes, from the largest to the smallest."""
    series = []
    for column, kind in (("weight", "datl"), ("l2tl_weight", "l2tl")):
        if column in found.columns:
            values = np.sort(found.mean(column))[::-1]
            places = np.unique(
                np.linspace(0, len(values) - 1, _POINTS).astype(int)
            )
            series.append(Series(kind, 1 + places, values[places], kind))
    ends = [1, max(2, len(found.names))]
    even = Series("equal weights", ends, [1.0, 1.0], "soft", "dashed")
    alt = (
        f"Weights of all {len(found.names)} source classes in falling order, "
        f"from {found.mean('weight').max():.1f} to "
        f"{found.mean('weight').min():.2f}."
    )
    return svg.lines(
        [even, *series], alt, "source classes by rank", "weight", named=True
    )


def learned(
    results: Sequence[Result],
    settings: L2tl,
    names: Sequence[str],
) -> dict[str, Any]:
    """Returns what the section on L2TL's learning shows.

    Args:
        results: of `l2tl`, one a seed.
        settings: of the run.
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
    """Returns the steps at which values were kept, maybe with the start."""
    return np.arange(epochs + 1)[-len(values) :] * steps / epochs


_NAMES = {
    "expected_scale": ("source-loss scale, expected", "l2tl"),
    "scale": ("source-loss scale, drawn", "soft"),
    "reward": ("reward", "l2tl"),
    "baseline": ("baseline", "base"),
}


def _over_time(logs: dict, steps: int, *columns: str) -> str:
    """Draws some of the logs; those that there are."""
    epochs = len(logs["loss"])
    series = []
    for column in columns:
        if column in logs:
            values = logs[column]
            name, kind = _NAMES[column]
            x = _times(values, epochs, steps)
            dash = "dashed" if column == "baseline" else ""
            series.append(Series(name, x, values, kind, dash))
    ends = ", ".join(
        f"{s.name} from {s.y[0]:.3g} to {s.y[-1]:.3g}" for s in series
    )
    y_name = _NAMES[columns[0]][0].split(",")[0]
    return svg.lines(series[::-1], f"{ends}.", "step", y_name)


def _moves(
    weights: np.ndarray, steps: int, names: Sequence[str]
) -> dict[str, Any]:
    """Returns the weights over time, `[epochs + 1, C]`, for a person."""
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
        Series(names[c], x, weights[:, c], kind)
        for kind, classes in (("soft", some), ("down", down), ("up", up))
        for c in classes
    ]
    said = ", ".join(
        f"{names[c]} from {weights[0, c]:.2f} to {weights[-1, c]:.2f}"
        for c in (*up, *down)
    )
    alt = f"Class weights over the steps; moved most: {said}."
    return {
        "weights": svg.lines(series, alt, "step", "class weight", True),
        "change": float(np.abs(change).mean()),
        "largest_change": float(np.abs(change).max()),
    }
