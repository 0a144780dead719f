"""Charts of the report as inline SVG, and images as data URIs.

The SVG names no colours: the style sheet sets those of the classes
`series-COLOUR`, `rule`, `soft` and `chosen`, for light and for dark pages.
Every chart has a text alternative.
"""

import base64
import dataclasses
import io
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from tf_transfer.report.charts import DotChart, LineChart, Series
from tf_transfer.report.names import columns, wrapped

_WIDTH = 360
_TOP, _BOTTOM = 26, 196  # of a chart of lines
_LINE = 16  # of text, in pixels
_LETTER = 7.5  # of text, in pixels, bold
_LONGEST_NAME = 15  # beside a line
_LONGEST_LABEL = 22  # beside a dot
_LONGEST_LINE = 44  # below a chart
_SHAPES = {
    "square": "M-3.2,-3.2H3.2V3.2H-3.2Z",
    "down": "M-4.2,-3.2H4.2L0,4.2Z",
    "up": "M-4.2,3.2H4.2L0,-4.2Z",
    "diamond": "M0,-4.8L4.8,0L0,4.8L-4.8,0Z",
    "cross": "M-3.5,-3.5L3.5,3.5M-3.5,3.5L3.5,-3.5",
    "plus": "M0,-4.5V4.5M-4.5,0H4.5",
    "hexagon": "M4.4,0L2.2,3.8H-2.2L-4.4,0L-2.2,-3.8H2.2Z",
}


def dots(chart: DotChart) -> str:
    """Returns a chart of dots as an SVG element.

    Args:
        chart: what to draw.

    Example:

    >>> from tf_transfer.report.charts import Dot
    >>> dots(DotChart([Dot("datl", 2.0, 1.0)], "datl gains 2", "points"))[:24]
    '<svg role="img" viewBox='
    """
    right, top = 14, 8
    names = [wrapped(dot.name, _LONGEST_LABEL) for dot in chart.dots]
    longest = max(columns(line) for lines in names for line in lines)
    left = max(60, 16 + _LETTER * longest)
    row_height = 10 + _LINE * max(map(len, names))
    halves = [np.nan_to_num(dot.half, posinf=0) for dot in chart.dots]
    ends = [0.0]
    for dot, half in zip(chart.dots, halves, strict=True):
        ends += [dot.mean - half, dot.mean + half]
    ticks = _ticks(min(ends), max(ends))
    bottom = top + row_height * len(chart.dots)
    svg = _svg(bottom + 40, chart.alt)

    def place(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return left + share * (_WIDTH - left - right)

    for tick in ticks:
        kind = "zero" if abs(tick) < 1e-9 else "rule"
        _line(svg, place(tick), top, place(tick), bottom, kind)
        label = f"{tick:+g}" if tick else "0"
        _text(svg, place(tick), bottom + _LINE, label, "middle", "soft")
    _text(svg, _WIDTH - right, bottom + 34, chart.unit, "end", "soft")
    for i, (dot, half) in enumerate(zip(chart.dots, halves, strict=True)):
        y = top + row_height * (i + 0.5)
        kind = "chosen" if dot.chosen else "other"
        group = _add(svg, "g", class_=kind)
        title = f"{dot.name}: {dot.mean:+.1f} {chart.unit}"
        _add(group, "title").text = title
        above = _LINE / 2 * (len(names[i]) - 1)
        for k, line in enumerate(names[i]):
            _text(group, left - 10, y + 4 - above + k * _LINE, line, "end", "")
        ends = place(dot.mean - half), place(dot.mean + half)
        _line(group, ends[0], y, ends[1], y, "reach")
        _mark(group, "diamond" if dot.chosen else "circle", place(dot.mean), y)
    return _as_text(svg)


def lines(chart: LineChart) -> str:
    """Returns a chart of lines as an SVG element.

    Where a name is too long to stand beside its line, the lines have numbers,
    and the names are listed below.

    Args:
        chart: what to draw.

    Example:

    >>> series = Series("datl", [0, 1], [0.5, 2.0])
    >>> lines(LineChart([series], "datl rises", "step", "weight"))[:24]
    '<svg role="img" viewBox='
    """
    named = [s for s in chart.series if chart.named and s.colour != "soft"]
    keys = [s.name for s in named]
    if any(columns(name) > _LONGEST_NAME for name in keys):
        keys = [str(place) for place in range(1, len(named) + 1)]
    below = [
        (each, "" if k else key, line)
        for each, key in zip(named, keys, strict=True)
        for k, line in enumerate(wrapped(each.name, _LONGEST_LINE))
        if key != each.name
    ]
    room = max(12, 28 + _LETTER * max(map(columns, keys), default=-3))
    frame = _frame(chart.series, _WIDTH - room)
    svg = _svg(_BOTTOM + 40 + _LINE * len(below), chart.alt)
    _axes(svg, frame, chart)
    for i, each in enumerate(chart.series):
        points = [
            frame.place(x, y) for x, y in zip(each.x, each.y, strict=True)
        ]
        _curve(svg, each, points, chart.marked(i))
    ends = [frame.place(s.x[-1], s.y[-1]) for s in named]
    _name_ends(svg, named, keys, ends)
    for k, (each, number, line) in enumerate(below):
        y, kind = _BOTTOM + 40 + _LINE * (k + 0.5), f"series-{each.colour}"
        for x, text in ((0, number), (20, line)):
            if text:  # apart, as a name may be written from the right
                _text(svg, x, y, text, "start", kind)
    return _as_text(svg)


@dataclasses.dataclass(frozen=True)
class _Frame:
    """The place of values in pixels: ends of x, ticks of y, both sides."""

    first: float
    last: float
    ticks: np.ndarray
    left: float
    right: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.first) / (self.last - self.first)
        up = (y - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return (
            self.left + across * (self.right - self.left),
            _BOTTOM - up * (_BOTTOM - _TOP),
        )


def _frame(series: Sequence[Series], right: float) -> _Frame:
    """Returns a frame that holds all lines."""
    x = np.concatenate([np.asarray(s.x, float) for s in series])
    y = np.concatenate([np.asarray(s.y, float) for s in series])
    y = y[np.isfinite(y)] if np.isfinite(y).any() else np.zeros(1)
    last = max(x.max(), x.min() + 1e-9)
    ticks = _ticks(y.min(), y.max())
    left = max(40, 10 + _LETTER * max(len(f"{tick:g}") for tick in ticks))
    return _Frame(x.min(), last, ticks, left, right)


def _axes(svg, frame: _Frame, chart: LineChart) -> None:
    """Draws the rules of a chart of lines, and writes the names of its axes."""
    for tick in frame.ticks:
        y = frame.place(frame.first, tick)[1]
        _line(svg, frame.left, y, frame.right, y, "rule")
        _text(svg, frame.left - 6, y + 4, f"{tick:g}", "end", "soft")
    for x, anchor in ((frame.first, "start"), (frame.last, "end")):
        place = frame.place(x, 0)[0]
        _text(svg, place, _BOTTOM + _LINE, f"{x:g}", anchor, "soft")
    _text(svg, 0, 12, chart.y_name, "start", "soft")
    _text(svg, frame.right, _BOTTOM + 34, chart.x_name, "end", "soft")


def key(series: Series) -> str:
    """Returns a short piece of a line with its marker, for a legend.

    Example:

    >>> key(Series("datl", [0, 1], [0.5, 2.0], "blue"))[:33]
    '<svg viewBox="0 0 34 12" aria-hid'
    """
    svg = ElementTree.Element("svg", {"viewBox": "0 0 34 12"})
    svg.set("aria-hidden", "true")
    _curve(svg, series, [(1, 6), (17, 6), (33, 6)], [1])
    return _as_text(svg)


def _curve(
    svg,
    each: Series,
    points: Sequence[tuple[float, float]],
    marked: Sequence[int],
) -> None:
    """Draws one line through points in pixels, and markers on some of them.

    Points of no finite height are left out; a single point is a dot.
    """
    group = _add(svg, "g", class_=f"series-{each.colour} {each.dash}")
    _add(group, "title").text = each.name
    finite = [point for point in points if np.isfinite(point[1])]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in finite)
    _add(group, "polyline", points=path)
    for x, y in (points[i] for i in marked):
        if np.isfinite(y):
            _mark(group, each.marker, x, y)
    if len(finite) == 1 and not marked:
        _mark(group, "circle", *finite[0])


def _mark(parent, kind: str, x: float, y: float) -> None:
    """Draws a marker: a circle, or one of `_SHAPES`."""
    if kind == "circle":
        _add(parent, "circle", cx=x, cy=y, r=4)
        return
    place = f"translate({x:.1f},{y:.1f})"
    _add(parent, "path", d=_SHAPES[kind], transform=place, class_=kind)


def _name_ends(
    svg,
    series: Sequence[Series],
    names: Sequence[str],
    ends: Sequence[tuple[float, float]],
) -> None:
    """Writes names beside the ends of lines, kept apart from each other."""
    order = sorted(range(len(series)), key=lambda i: ends[i][1])
    heights: list[float] = []
    for i in order:
        least = heights[-1] + _LINE if heights else -np.inf
        heights.append(max(ends[i][1] + 4, least))
    most = _BOTTOM + 4
    for k in reversed(range(len(heights))):
        heights[k] = min(heights[k], most)
        most = heights[k] - _LINE
    for i, y in zip(order, heights, strict=True):
        kind = f"series-{series[i].colour}"
        _text(svg, ends[i][0] + 8, y, names[i], "start", kind)


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
    """Returns round numbers from at most `low` to at least `high`."""
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
    """Adds an element; numbers are written with one decimal."""
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


def _as_text(svg: ElementTree.Element) -> str:
    return ElementTree.tostring(svg, encoding="unicode")
