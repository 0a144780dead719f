"""Pictures of a run as files: weights, images side by side, curves."""

import csv
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.charts import shortened

_SHOWN = 12
_LONGEST_NAME = 30


def write_weights(folder: pathlib.Path, rows, source, target) -> None:
    """Writes `weights.csv`, `weights.png` and `side_by_side.png`.

    And `l2tl_weights.png`, where L2TL has learned weights too.

    Args:
        folder: where to.
        rows: dicts of one class of one seed each.
        source: the `ImageData` to show.
        target: likewise.
    """
    if not rows:
        return
    with open(
        folder / "weights.csv", "w", newline="", encoding="utf-8"
    ) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    first = [row for row in rows if row["seed"] == rows[0]["seed"]]
    plot_weights(folder / "weights.png", first)
    if "l2tl_weight" in first[0]:
        plot_weights(folder / "l2tl_weights.png", first, "l2tl_weight")
    plot_side_by_side(folder / "side_by_side.png", first, source, target)


def new_figure(width: float, height: float):
    """Returns an empty figure of a size in inches, for files alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plot_weights(
    path: pathlib.Path, rows: Sequence[dict[str, Any]], column: str = "weight"
) -> None:
    """Draws the largest and smallest weights, DATL's with their intervals."""
    ranked = sorted(rows, key=lambda row: -row[column])
    shown = ranked
    if len(ranked) > 4 * _SHOWN:
        shown = ranked[: 3 * _SHOWN] + ranked[-_SHOWN:]
    figure = new_figure(max(6, 0.22 * len(shown)), 3.6)
    axes = figure.add_subplot()
    place = np.arange(len(shown))
    height = np.array([row[column] for row in shown])
    axes.bar(place, height, color="#3b6ea5")
    if column == "weight":
        errors = np.transpose([weight_errors(row) for row in shown])
        axes.errorbar(place, height, errors, fmt="none", ecolor="#222", lw=0.8)
    axes.axhline(1, color="#999", lw=0.8, ls="--")
    names = [shortened(row["class"], _LONGEST_NAME) for row in shown]
    # A dollar sign in a class name is no formula.
    axes.set_xticks(place, names, fontsize=8, parse_math=False)
    if max(len(row["class"]) for row in shown) > 2:
        axes.tick_params(axis="x", rotation=90)
    axes.set_ylabel("importance weight")
    of = f"{len(shown)} of {len(rows)} classes" if shown != ranked else ""
    what = "Importance" if column == "weight" else "Learned (L2TL)"
    axes.set_title(f"{what} weights of the source classes {of}".strip())
    figure.savefig(path, dpi=120)


def weight_errors(row: dict[str, Any]) -> tuple[float, float]:
    """Returns how far a weight's interval reaches below and above it.

    The interval of the target's share, in proportion.
    """
    share = row["target_prior"]
    if not share:
        return 0.0, 0.0
    low = row["weight"] * (1 - row["target_prior_low"] / share)
    high = row["weight"] * (row["target_prior_high"] / share - 1)
    return max(0.0, low), max(0.0, high)


def plot_side_by_side(path: pathlib.Path, rows, source, target) -> None:
    """Draws target images beside the source's top and bottom classes."""
    ranked = [r["class_id"] for r in sorted(rows, key=lambda r: -r["weight"])]
    panels = [
        ("target", target, np.unique(target.labels)[:_SHOWN]),
        ("source, largest weights", source, ranked[:_SHOWN]),
        ("source, smallest weights", source, ranked[: -_SHOWN - 1 : -1]),
    ]
    figure = new_figure(10, 4.6)
    for axes, (title, images, classes) in zip(
        figure.subplots(1, 3), panels, strict=True
    ):
        axes.imshow(_sheet(images, classes), cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
        axes.set_axis_off()
    figure.savefig(path, dpi=120)


def _sheet(data, classes: Sequence[int], columns: int = 8) -> np.ndarray:
    """Tiles images: a class per row, `columns` images of each."""
    blank = np.zeros_like(data.images[0])
    lines = []
    for class_id in classes:
        found = data.images[data.labels == class_id][:columns]
        tiles = [*found] + [blank] * (columns - len(found))
        lines.append(np.concatenate(tiles, axis=1))
    sheet = np.concatenate(lines, axis=0)
    return sheet[..., 0] if sheet.shape[-1] == 1 else sheet


def write_curves(
    folder: pathlib.Path, results: Sequence[dict[str, Any]]
) -> None:
    """Draws the training loss of every stage, averaged over seeds."""
    stages = [
        stage
        for stage in ("pretraining", "learning", "joint", "finetuning")
        if any(stage in result["history"] for result in results)
    ]
    if not stages:
        return
    figure = new_figure(max(6, 4.5 * len(stages)), 3.6)
    panels = figure.subplots(1, len(stages), squeeze=False)[0]
    for axes, stage in zip(panels, stages, strict=True):
        by_method: dict[str, list] = {}
        for result in results:
            loss = result["history"].get(stage, {}).get("loss")
            if loss:
                by_method.setdefault(result["method"], []).append(loss)
        for method, losses in by_method.items():
            axes.plot(1 + np.arange(len(losses[0])), np.mean(losses, axis=0))
            axes.lines[-1].set_label(method)
        axes.set_title(stage)
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss")
        if by_method:
            axes.legend(fontsize=8)
    figure.savefig(folder / "learning_curves.png", dpi=120)
