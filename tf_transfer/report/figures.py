"""Pictures of a run as files: weights, images side by side, curves."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.datl.diagnostics import top_and_bottom, weight_interval
from tf_transfer.experiment.results import Result
from tf_transfer.report.svg import STAGES, shortened

_SHOWN = 12
_LONGEST_NAME = 30


def write_weights(folder: pathlib.Path, rows, source, target) -> None:
    """Draws `weights.png` and `side_by_side.png`.

    And `l2tl_weights.png`, where L2TL has learned weights too.

    Args:
        folder: where to.
        rows: dicts of one class of one seed each.
        source: the `ImageData` to show.
        target: likewise.
    """
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
    shown, of = ranked, "weights"
    place = np.arange(len(ranked))
    if len(ranked) > 4 * _SHOWN:
        large, small = 3 * _SHOWN, _SHOWN
        shown = ranked[:large] + ranked[-small:]
        place = np.delete(np.arange(len(shown) + 2), [large, large + 1])
        of = f"weights, {large} largest and {small} smallest of {len(ranked)}"
    figure = new_figure(max(6, 0.22 * len(shown)), 3.6)
    axes = figure.add_subplot()
    height = np.array([row[column] for row in shown])
    if len(shown) < len(ranked):
        text = f"{len(ranked) - len(shown)} classes between"
        between = {"x": large + 0.5, "y": height.max() / 2, "s": text}
        style = {"rotation": 90, "fontsize": 8, "color": "#666"}
        axes.text(**between, **style, ha="center", va="center")
    axes.bar(place, height, color="#3b6ea5")
    if column == "weight":
        low, high = weight_interval(*_columns(shown))
        errors = height - low, high - height
        axes.errorbar(place, height, errors, fmt="none", ecolor="#222", lw=0.8)
    axes.axhline(1, color="#999", lw=0.8, ls="--")
    names = [shortened(row["class"], _LONGEST_NAME) for row in shown]
    # A dollar sign in a class name is no formula.
    axes.set_xticks(place, names, fontsize=8, parse_math=False)
    if max(len(row["class"]) for row in shown) > 2:
        axes.tick_params(axis="x", rotation=90)
    axes.set_ylabel("importance weight")
    what = "Importance" if column == "weight" else "Learned (L2TL)"
    axes.set_title(f"{what} {of}; seed {rows[0]['seed']}")
    figure.savefig(path, dpi=120)


def _columns(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """Returns weights, target shares and the ends of those, `[4, C]`."""
    share = "target_prior"
    names = ("weight", share, f"{share}_low", f"{share}_high")
    return np.array([[row[name] for row in rows] for name in names])


def plot_side_by_side(path: pathlib.Path, rows, source, target) -> None:
    """Draws target images beside the source's top and bottom classes."""
    large, small = top_and_bottom(rows, _SHOWN)
    parts = {
        "source, largest weights": large,
        "source, smallest weights": small,
    }
    of_target = {c: target.class_names[c] for c in np.unique(target.labels)}
    panels = [("target", target, dict([*of_target.items()][:_SHOWN]))]
    for title, part in parts.items():
        names = {
            r["class_id"]: f"{r['class']}  {r['weight']:.1f}" for r in part
        }
        panels += [(title, source, names)] if part else []
    figure = new_figure(3.7 * len(panels), 4.6)
    for axes, (title, images, names) in zip(
        figure.subplots(1, len(panels)), panels, strict=True
    ):
        axes.imshow(_sheet(images, [*names]), cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
        high = len(images.images[0])
        shown = [shortened(name, _LONGEST_NAME) for name in names.values()]
        middles = high * (np.arange(len(shown)) + 0.5) - 0.5
        axes.set_yticks(middles, shown, fontsize=8, parse_math=False)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.set_anchor("N")
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


def write_curves(folder: pathlib.Path, results: Sequence[Result]) -> None:
    """Draws the training loss of every stage, averaged over seeds."""
    from matplotlib.lines import Line2D

    stages = [
        stage
        for stage in STAGES
        if any(stage in result.history for result in results)
    ]
    if not stages:
        return
    methods = [*dict.fromkeys(result.method for result in results)]
    looks = {}
    for i, method in enumerate(methods):
        # Methods share stages: thinner lines leave those below them in sight.
        looks[method] = {"color": f"C{i}", "lw": 1 + 4 * (1 - i / len(methods))}
    figure = new_figure(max(6, 4.5 * len(stages)), 3.6)
    panels = figure.subplots(1, len(stages), squeeze=False)[0]
    for axes, stage in zip(panels, stages, strict=True):
        by_method: dict[str, list] = {}
        for result in results:
            loss = result.history.get(stage, {}).get("loss")
            if loss:
                by_method.setdefault(result.method, []).append(loss)
        for method, losses in by_method.items():
            count = len(losses[0])
            done = 100 * np.arange(1, count + 1) / count
            axes.plot(done, np.mean(losses, axis=0), **looks[method])
        axes.set_title(STAGES[stage])
        axes.set_xlabel("% of its steps")
        axes.set_ylabel("training loss")
    figure.legend(
        [Line2D([], [], **look) for look in looks.values()],
        methods,
        loc="outside right upper",
        fontsize=8,
        title="mean over seeds;\nthin lines lie on wide",
        title_fontsize=8,
    )
    figure.savefig(folder / "learning_curves.png", dpi=120)
