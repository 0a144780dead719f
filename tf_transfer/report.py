"""What a person sees: progress, the closing table, files and pictures."""

import csv
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.diagnostics import Diagnostics

_SHOWN = 12


class Progress:
    """A line that tells what runs and how long is left.

    It is rewritten in place on a terminal; elsewhere each new activity, and
    each tenth of the work, is a line of its own.

    Args:
        planned: optimizer steps in all.
        quiet: print nothing.
    """

    def __init__(self, planned: int, quiet: bool = False):
        self.planned = planned
        self.quiet = quiet
        self.done = 0
        self.activity = ""
        self.started = time.monotonic()
        self.in_place = sys.stderr.isatty()

    def says(self, activity: str) -> None:
        """Names what runs now."""
        self.activity = activity
        self._print()

    def advance(self, steps: int) -> None:
        """Counts optimizer steps."""
        tenth = 10 * self.done // max(1, self.planned)
        self.done += steps
        if self.in_place or 10 * self.done // max(1, self.planned) > tenth:
            self._print()

    def close(self) -> None:
        """Ends the line."""
        if self.in_place and not self.quiet and self.planned:
            print(file=sys.stderr)

    def _print(self) -> None:
        if self.quiet:
            return
        share = min(1.0, self.done / max(1, self.planned))
        spent = time.monotonic() - self.started
        left = "estimating time left"
        if share > 0.01:
            left = f"{duration(spent * (1 - share) / share)} left"
        line = f"[{share:4.0%}] {self.activity}, {left}"
        if self.in_place:
            print(f"\r{line:<70}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Returns e.g. `2 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def note(activity: str) -> None:
    """Prints what goes on before there is a progress line."""
    print(f"[  0%] {activity}", file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """Prints a warning for a person."""
    print(f"Warning: {sentence}", file=sys.stderr, flush=True)


def verdict(rows: Sequence[dict[str, Any]], found: Diagnostics) -> str:
    """Says in words which source classes the target resembles."""
    ranked = sorted(rows, key=lambda row: -row["weight"])
    top = "  ".join(
        f"{row['class']} {row['weight']:.1f}" for row in ranked[:_SHOWN]
    )
    bottom = "  ".join(row["class"] for row in ranked[: -_SHOWN - 1 : -1])
    prior = np.array([row["target_prior"] for row in rows])
    classes = 1 / float(prior @ prior)
    lines = [
        f"The target looks like about {classes:.0f} of {len(rows)} source "
        "classes.",
        f"Most like it (weight):  {top}",
        f"Least like it:          {bottom}",
        f"Effective sample size: {found.ess:.1%} of the source; largest "
        f"weight {found.largest:.1f}; mass clipped {found.clipped:.1%}.",
    ]
    if found.advice:
        lines.append(f"Warning: {found.advice}")
    elif found.ess > 0.9:
        lines.append(
            "The weights are nearly equal: weighting can change little here."
        )
    else:
        lines.append(
            "If the classes above make sense to you, weighted pre-training is "
            "worth a try: `tf-transfer compare`."
        )
    return "\n".join(lines)


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
        errors = np.transpose([_weight_errors(row) for row in shown])
        axes.errorbar(place, height, errors, fmt="none", ecolor="#222", lw=0.8)
    axes.axhline(1, color="#999", lw=0.8, ls="--")
    names = [row["class"] for row in shown]
    # A dollar sign in a class name is no formula.
    axes.set_xticks(place, names, fontsize=8, parse_math=False)
    if max(len(row["class"]) for row in shown) > 2:
        axes.tick_params(axis="x", rotation=90)
    axes.set_ylabel("importance weight")
    of = f"{len(shown)} of {len(rows)} classes" if shown != ranked else ""
    what = "Importance" if column == "weight" else "Learned (L2TL)"
    axes.set_title(f"{what} weights of the source classes {of}".strip())
    figure.savefig(path, dpi=120)


def _weight_errors(row: dict[str, Any]) -> tuple[float, float]:
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
