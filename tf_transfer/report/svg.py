"""What a report draws: charts as inline SVG, images as data URIs.

The charts have no colours of their own: the classes `series-NAME`, `rule`,
`soft` and `chosen` are the style sheet's, so that they work on light and on
dark ground alike. Every chart has a text alternative.
"""

import base64
import dataclasses
import io
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

_WIDTH = 360
_LINE = 16  # of text, in pixels
_MOST_NAMED = 15
STAGES = {
    "pretraining": "Further pre-training on the source",
    "learning": "L2TL learns the weights",
    "joint": "Joint training",
    "finetuning": "Training on the target",
}
"""What the stages of a method are called, in their order."""


@dataclasses.dataclass(frozen=True)
class Dot:
    """A mean with its interval.

    Attributes:
        name: beside it.
        mean, half: the value and the half width of its interval.
        chosen: whether it is marked.
    """

    name: str
    mean: float
    half: float
    chosen: bool = False


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        name: of its tooltip, and beside its end where the chart says so.
        x, y: of its points; one whose `y` is no finite number is left out.
        kind: of its colour, in the style sheet.
        dash: `"dashed"`, `"dotted"`, or nothing for a full line.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: str = "soft"
    dash: str = ""


def dots(rows: Sequence[Dot], alt: str, unit: str) -> str:
    """Draws means with their intervals, one below the other, and zero.

    Args:
        rows: from top to bottom.
        alt: what the chart says, in words.
        unit: of the values.

    Example:

    >>> dots([Dot("datl", 2.0, 1.0)], "datl gains 2", "points")[:24]
    '<svg role="img" viewBox='
    """
    left, right, top, high = 130, 14, 8, 26
    half = [row.half if np.isfinite(row.half) else 0 for row in rows]
    ends = [0.0]
    for row, reach in zip(rows, half, strict=True):
        ends += [row.mean - reach, row.mean + reach]
    ticks = _ticks(min(ends), max(ends))
    bottom = top + high * len(rows)
    svg = _svg(bottom + 40, alt)

    def place(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return left + share * (_WIDTH - left - right)

    for tick in ticks:
        kind = "zero" if abs(tick) < 1e-9 else "rule"
        _line(svg, place(tick), top, place(tick), bottom, kind)
        shown = f"{tick:+g}" if tick else "0"
        _text(svg, place(tick), bottom + _LINE, shown, "middle", "soft")
    _text(svg, _WIDTH - right, bottom + 34, unit, "end", "soft")
    for i, (row, reach) in enumerate(zip(rows, half, strict=True)):
        y = top + high * (i + 0.5)
        kind = "chosen" if row.chosen else "other"
        group = _add(svg, "g", class_=kind)
        _add(group, "title").text = f"{row.name}: {row.mean:+.1f} {unit}"
        _text(group, left - 10, y + 4, row.name, "end", "")
        ends = place(row.mean - reach), place(row.mean + reach)
        _line(group, ends[0], y, ends[1], y, "reach")
        radius = 5.5 if row.chosen else 4
        _add(group, "circle", cx=place(row.mean), cy=y, r=radius)
    return _shown(svg)


def lines(
    series: Sequence[Series],
    alt: str,
    x_name: str,
    y_name: str,
    named: bool = False,
) -> str:
    """Draws lines over one pair of axes.

    Args:
        series: the first are drawn first.
        alt: what the chart says, in words.
        x_name: of the axis.
        y_name: likewise.
        named: write the names of all that are not `soft` beside their ends.
    """
    left, right, top, bottom = 40, 112 if named else 12, 26, 196
    all_x = np.concatenate([np.asarray(s.x, float) for s in series])
    all_y = np.concatenate([np.asarray(s.y, float) for s in series])
    all_y = all_y[np.isfinite(all_y)]
    if not all_y.size:
        all_y = np.zeros(1)
    ticks = _ticks(all_y.min(), all_y.max())
    first, last = all_x.min(), max(all_x.max(), all_x.min() + 1e-9)
    svg = _svg(bottom + 40, alt)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first)
        up = (y - ticks[0]) / (ticks[-1] - ticks[0])
        return (
            left + across * (_WIDTH - left - right),
            bottom - up * (bottom - top),
        )

    for tick in ticks:
        y = place(first, tick)[1]
        _line(svg, left, y, _WIDTH - right, y, "rule")
        _text(svg, left - 6, y + 4, f"{tick:g}", "end", "soft")
    for x, anchor in ((first, "start"), (last, "end")):
        _text(svg, place(x, 0)[0], bottom + _LINE, f"{x:g}", anchor, "soft")
    _text(svg, 0, 12, y_name, "start", "soft")
    _text(svg, _WIDTH - right, bottom + 34, x_name, "end", "soft")
    for each in series:
        points = zip(each.x, each.y, strict=True)
        _curve(svg, each, [place(x, y) for x, y in points if np.isfinite(y)])
    if named:
        ends = [s for s in series if s.kind != "soft"]
        _name_ends(svg, ends, [place(s.x[-1], s.y[-1]) for s in ends], bottom)
    return _shown(svg)


def _curve(svg, each: Series, points: Sequence[tuple[float, float]]) -> None:
    """Draws one line through points in pixels; a single one as a dot."""
    group = _add(svg, "g", class_=f"series-{each.kind} {each.dash}")
    _add(group, "title").text = each.name
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    _add(group, "polyline", points=path)
    if len(points) == 1:
        _add(group, "circle", cx=points[0][0], cy=points[0][1], r=3)


def _name_ends(
    svg,
    series: Sequence[Series],
    ends: Sequence[tuple[float, float]],
    bottom: float,
) -> None:
    """Writes names beside the ends of lines, kept apart from each other."""
    order = sorted(range(len(series)), key=lambda i: ends[i][1])
    heights: list[float] = []
    for i in order:
        least = heights[-1] + _LINE if heights else -np.inf
        heights.append(max(ends[i][1] + 4, least))
    most = bottom + 4
    for k in reversed(range(len(heights))):
        heights[k] = min(heights[k], most)
        most = heights[k] - _LINE
    for i, y in zip(order, heights, strict=True):
        shown = shortened(series[i].name, _MOST_NAMED)
        kind = f"series-{series[i].kind}"
        _text(svg, ends[i][0] + 6, y, shown, "start", kind)


def shortened(name: str, most: int) -> str:
    """Returns a name, or its beginning and an ellipsis."""
    return name if len(name) <= most else name[: most - 1] + "\u2026"


def picture(images: np.ndarray, most: int = 56) -> str:
    """Returns images side by side as the data URI of one PNG.

    Args:
        images: `[N, H, W, 1 or 3]` uint8, N at least 1.
        most: their largest side in pixels; larger ones are scaled down.
    """
    from PIL import Image

    row = np.concatenate(list(images), axis=1)
    row = row[..., 0] if row.shape[-1] == 1 else row
    image = Image.fromarray(row)
    side = max(images.shape[1:3])
    if side > most:
        scaled = (round(edge * most / side) for edge in image.size)
        image = image.resize(tuple(max(1, edge) for edge in scaled))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    content = base64.b64encode(file.getvalue()).decode()
    return f"data:image/png;base64,{content}"


def _ticks(low: float, high: float) -> np.ndarray:
    """Returns round numbers, the first and last around both values."""
    from matplotlib.ticker import MaxNLocator

    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    ticks = MaxNLocator(nbins=5).tick_values(low, high)
    return np.where(np.abs(ticks) < 1e-12, 0.0, ticks)


def _svg(height: float, alt: str) -> ElementTree.Element:
    svg = ElementTree.Element("svg", {"role": "img"})
    svg.set("viewBox", f"0 0 {_WIDTH} {height:g}")
    svg.set("aria-label", alt)
    return svg


def _add(parent, tag: str, **attributes) -> ElementTree.Element:
    """Adds an element; a number is written with a digit behind the point."""
    return ElementTree.SubElement(
        parent,
        tag,
        {
            name.strip("_").replace("_", "-"): value
            if isinstance(value, str)
            else f"{value:.1f}"
            for name, value in attributes.items()
        },
    )


def _line(parent, x1, y1, x2, y2, kind: str) -> None:
    _add(parent, "line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def _text(parent, x, y, text: str, anchor: str, kind: str) -> None:
    added = _add(parent, "text", x=x, y=y, text_anchor=anchor, class_=kind)
    added.text = text


def _shown(svg: ElementTree.Element) -> str:
    return ElementTree.tostring(svg, encoding="unicode")
