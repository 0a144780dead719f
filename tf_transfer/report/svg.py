"""Charts of the report as inline SVG, and images as data URIs.

The SVG names no colours: the style sheet sets those of the classes
`series-COLOUR`, `rule`, `soft` and `chosen`, for light and for dark pages.
Every chart has a text alternative.
"""

import base64
import io
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from tf_transfer.report.charts import DotChart, LineChart, Series, shortened

_WIDTH = 360
_LINE = 16  # of text, in pixels
_LONGEST_NAME = 15


def dots(chart: DotChart) -> str:
    """Returns a chart of dots as an SVG element.

    Args:
        chart: what to draw.

    Example:

    >>> from tf_transfer.report.charts import Dot
    >>> dots(DotChart([Dot("datl", 2.0, 1.0)], "datl gains 2", "points"))[:24]
    '<svg role="img" viewBox='
    """
    left, right, top, row_height = 130, 14, 8, 26
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
        _text(group, left - 10, y + 4, dot.name, "end", "")
        ends = place(dot.mean - half), place(dot.mean + half)
        _line(group, ends[0], y, ends[1], y, "reach")
        radius = 5.5 if dot.chosen else 4
        _add(group, "circle", cx=place(dot.mean), cy=y, r=radius)
    return _as_text(svg)


def lines(chart: LineChart) -> str:
    """Returns a chart of lines as an SVG element.

    Args:
        chart: what to draw.

    Example:

    >>> series = Series("datl", [0, 1], [0.5, 2.0])
    >>> lines(LineChart([series], "datl rises", "step", "weight"))[:24]
    '<svg role="img" viewBox='
    """
    left, right, top, bottom = 40, 112 if chart.named else 12, 26, 196
    all_x = np.concatenate([np.asarray(s.x, float) for s in chart.series])
    all_y = np.concatenate([np.asarray(s.y, float) for s in chart.series])
    all_y = all_y[np.isfinite(all_y)]
    if not all_y.size:
        all_y = np.zeros(1)
    ticks = _ticks(all_y.min(), all_y.max())
    first, last = all_x.min(), max(all_x.max(), all_x.min() + 1e-9)
    svg = _svg(bottom + 40, chart.alt)

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
    _text(svg, 0, 12, chart.y_name, "start", "soft")
    _text(svg, _WIDTH - right, bottom + 34, chart.x_name, "end", "soft")
    for each in chart.series:
        points = zip(each.x, each.y, strict=True)
        _curve(svg, each, [place(x, y) for x, y in points if np.isfinite(y)])
    if chart.named:
        named = [s for s in chart.series if s.colour != "soft"]
        ends = [place(s.x[-1], s.y[-1]) for s in named]
        _name_ends(svg, named, ends, bottom)
    return _as_text(svg)


def _curve(svg, each: Series, points: Sequence[tuple[float, float]]) -> None:
    """Draws one line through points in pixels; a single one as a dot."""
    group = _add(svg, "g", class_=f"series-{each.colour} {each.dash}")
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
        name = shortened(series[i].name, _LONGEST_NAME)
        kind = f"series-{series[i].colour}"
        _text(svg, ends[i][0] + 6, y, name, "start", kind)


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
