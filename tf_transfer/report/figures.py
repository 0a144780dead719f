"""Figures of a run as PNG files: weights, images, gains and curves."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tf_transfer.data.image_data import ImageData
from tf_transfer.experiment import statistics
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.records.results import Result
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.experiment.statistics import Row
from tf_transfer.report import charts, fonts
from tf_transfer.report.charts import DotChart, LineChart, Series
from tf_transfer.report.names import columns, wrapped
from tf_transfer.utils.storage.folders import Folder

COLOURS = {
    "blue": "#3b6ea5",
    "red": "#b5482a",
    "green": "#4a7a4f",
    "brown": "#8a6d1f",
    "violet": "#7a4f8a",
    "teal": "#2f7f86",
    "rose": "#a2476b",
    "olive": "#6d7d22",
    "soft": "#5f656b",
}
"""By the `colour` of a series."""
_DASHES = {"": "-", "dashed": "--", "dotted": ":"}
_MARKERS = {
    "": "",
    "circle": "o",
    "square": "s",
    "down": "v",
    "up": "^",
    "diamond": "D",
    "cross": "x",
    "plus": "+",
    "hexagon": "h",
}
_LISTED = 12
_COLUMNS = 8  # of images
_LONGEST_LINE, _MOST_LINES = 30, 3  # of a name
_LETTER, _LINE = 0.07, 0.14  # inches of a name


def write_weights(
    folder: Folder,
    table: WeightTable,
    source: ImageData,
    target: ImageData,
) -> None:
    """Draws `weights.png` and `side_by_side.png` for the first seed.

    Also draws `METHOD_weights.png` for each method that learned weights.

    Args:
        folder: to write to.
        table: the weights.
        source: images to draw.
        target: images to draw.
    """
    first = table.first_seed()
    for method in (None, *first.learned()):
        name = f"{method}_weights.png" if method else "weights.png"
        with folder.replacing(name) as partial:
            plot_weights(partial, first, method)
    with folder.replacing("side_by_side.png") as partial:
        plot_side_by_side(partial, first, source, target)


def new_figure(width: float, height: float):
    """Returns an empty figure that can be saved to a file.

    Args:
        width: in inches.
        height: in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plot_weights(
    path: pathlib.Path, table: WeightTable, method: str | None = None
) -> None:
    """Draws the largest and smallest weights, DATL's with their intervals.

    Args:
        path: the file.
        table: the weights of one seed.
        method: that learned the weights to draw; DATL's if None.
    """
    column = table.learned()[method] if method else "weight"
    ranked = np.argsort(-table.mean(column), kind="stable")
    classes, place, title = ranked, np.arange(len(ranked)), "weights"
    large, small = 3 * _LISTED, _LISTED
    cut = len(ranked) > large + small
    if cut:
        classes = np.r_[ranked[:large], ranked[-small:]]
        place = np.delete(np.arange(len(classes) + 2), [large, large + 1])
        title += f", {large} largest and {small} smallest of {len(ranked)}"
    bars = charts.bars(table, classes, column)
    height = np.array([bar.weight for bar in bars])
    names, wide, high = _names([bar.name for bar in bars])
    turned = wide > 2
    across = max(0.22, high * _LINE if turned else 0)
    figure = new_figure(max(6, across * len(bars)), 3 + turned * wide * _LETTER)
    axes = figure.add_subplot()
    if cut:
        text = f"{len(ranked) - len(bars)} classes between"
        between = {"x": large + 0.5, "y": height.max() / 2, "s": text}
        style = {"rotation": 90, "fontsize": 8, "color": "#666"}
        axes.text(**between, **style, ha="center", va="center")
    axes.bar(place, height, color=COLOURS["blue"])
    if method is None:
        low, high = np.transpose([(bar.low, bar.high) for bar in bars])
        errors = height - low, high - height
        axes.errorbar(place, height, errors, fmt="none", ecolor="#222", lw=0.8)
    axes.axhline(1, color="#999", lw=0.8, ls="--")
    # A dollar sign in a class name does not start a formula.
    axes.set_xticks(place, names, fontsize=8, parse_math=False)
    if turned:
        axes.tick_params(axis="x", rotation=90)
    axes.set_ylabel("importance weight")
    kind = f"Learned ({method.upper()})" if method else "Importance"
    axes.set_title(f"{kind} {title}; seed {table.seeds[0]}")
    fonts.save(figure, path)


def plot_side_by_side(
    path: pathlib.Path,
    table: WeightTable,
    source: ImageData,
    target: ImageData,
) -> None:
    """Draws target images beside the source's top and bottom classes."""
    listed = np.unique(target.labels)[:_LISTED]
    names, weights = [target.class_names[c] for c in listed], [""] * len(listed)
    panels = [("target", target, listed)]
    for title, classes in (
        ("source, largest weights", table.top(_LISTED)),
        ("source, smallest weights", table.bottom(_LISTED)),
    ):
        shown = charts.bars(table, classes)
        names += [bar.name for bar in shown]
        weights += [f"  {bar.weight:.1f}" for bar in shown]
        panels += [(title, source, classes)] if len(classes) else []
    labels, wide, high = _names(names, weights)
    rows = max(len(classes) for *_, classes in panels)
    row = max(0.3, high * _LINE + 0.06)
    figure = new_figure(
        (_COLUMNS * row + wide * _LETTER + 0.3) * len(panels), rows * row + 0.7
    )
    for axes, (title, images, classes) in zip(
        figure.subplots(1, len(panels)), panels, strict=True
    ):
        axes.imshow(_sheet(images, classes), cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
        height = len(images.images[0])
        middles = height * (np.arange(len(classes)) + 0.5) - 0.5
        own, labels = labels[: len(classes)], labels[len(classes) :]
        axes.set_yticks(middles, own, fontsize=8, parse_math=False)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.set_anchor("N")
    fonts.save(figure, path)


def _names(
    names: Sequence[str], weights: Sequence[str] = ()
) -> tuple[list[str], int, int]:
    """Breaks names into lines, with weights after them if there are any.

    Returns:
        The names, the columns of the longest line, and the most lines.
    """
    broken = [wrapped(name, _LONGEST_LINE, _MOST_LINES) for name in names]
    for lines, weight in zip(broken, weights, strict=False):
        lines[-1] += weight
    wide = max((columns(line) for each in broken for line in each), default=0)
    most = max(map(len, broken), default=0)
    return ["\n".join(lines) for lines in broken], wide, most


def _sheet(data: ImageData, classes: Sequence[int]) -> np.ndarray:
    """Tiles images: a class per row, `_COLUMNS` images of each."""
    blank = np.zeros_like(data.images[0])
    rows = []
    for class_id in classes:
        places = np.flatnonzero(data.labels == class_id)[:_COLUMNS]
        examples = data.images[places]
        tiles = [*examples] + [blank] * (_COLUMNS - len(examples))
        rows.append(np.concatenate(tiles, axis=1))
    sheet = np.concatenate(rows, axis=0)
    return sheet[..., 0] if sheet.shape[-1] == 1 else sheet


def write_gains(
    path: pathlib.Path, experiments: Sequence[tuple[str, Sequence[Row]]]
) -> None:
    """Draws the gains over the baseline, a panel for each experiment.

    Args:
        path: the file.
        experiments: the title and the closing table of each.
    """
    columns = min(3, len(experiments))
    lines = -(-len(experiments) // 3)
    figure = new_figure(4 * columns, 3.2 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels[len(experiments) :]:
        axes.set_axis_off()
    for axes, (title, rows) in zip(panels, experiments, strict=False):
        _dots(axes, charts.gains([row for row in rows if _has_place(row)]))
        axes.set_title(title, fontsize=9, parse_math=False)
        base = statistics.base_of(rows) or "the baseline"
        axes.set_xlabel(f"points over {base}", fontsize=8)
    figure.suptitle(
        "Mean gains and their 95 % intervals;\n"
        "red diamond: the choice, if not the baseline",
        fontsize=9,
    )
    fonts.save(figure, path)


def _has_place(row: Row) -> bool:
    """Whether a method is drawn: those without the source are too far off."""
    return row.gain is not None and METHODS[row.method].uses_source


def _dots(axes, chart: DotChart) -> None:
    dots = chart.dots[::-1]
    for place, dot in enumerate(dots):
        axes.errorbar(
            dot.mean,
            place,
            xerr=np.nan_to_num(dot.half, posinf=0),
            fmt="D" if dot.chosen else "o",
            color=COLOURS["red" if dot.chosen else "blue"],
        )
    names, *_ = _names([dot.name for dot in dots])
    axes.set_yticks(range(len(dots)), names, fontsize=8)
    axes.axvline(0, color="#999", lw=0.8)


def write_curves(folder: Folder, results: Sequence[Result]) -> None:
    """Draws the training loss of every stage, averaged over seeds.

    Args:
        folder: to write `learning_curves.png` to, if there is any loss.
        results: of all methods and seeds.
    """
    methods = [*dict.fromkeys(result.method for result in results)]
    drawn = charts.learning_curves(results, methods)
    if not drawn:
        return
    figure = new_figure(max(6, 4.5 * len(drawn)), 4.4)
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, chart in zip(panels, drawn, strict=True):
        _lines(axes, chart)
    with folder.replacing("learning_curves.png") as partial:
        fonts.save(figure, partial)


def _lines(axes, chart: LineChart) -> None:
    for place, series in enumerate(chart.series):
        axes.plot(series.x, series.y, **_style(series, chart.marked(place)))
    axes.set_title(chart.title, fontsize=10)
    axes.set_xlabel(chart.x_name)
    axes.set_ylabel(f"{chart.y_name}, mean over seeds")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=min(2, len(chart.series)),
        fontsize=8,
        handlelength=4,
        frameon=False,
    )


def _style(series: Series, marked: Sequence[int]) -> dict[str, object]:
    """Returns the look of a line, which is not its colour alone."""
    names, *_ = _names([series.name])
    return {
        "color": COLOURS[series.colour],
        "ls": _DASHES[series.dash],
        "marker": _MARKERS[series.marker],
        "markevery": list(marked),
        "ms": 5,
        "lw": 1.4,
        "label": names[0],
    }
