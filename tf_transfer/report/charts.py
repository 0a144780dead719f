"""What the charts of a run show. `svg` and `figures` draw them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.records.results import Result
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.experiment.statistics import Row, base_of
from tf_transfer.report.text import points

STAGES = {
    "pretraining": "Further pre-training on the source",
    "learning": "L2TL learns the weights",
    "joint": "Joint training",
    "head": "Training the target head alone",
    "finetuning": "Training on the target",
}
"""Titles of stages, in the order of their charts."""

MARKERS = {
    "brown": "circle",
    "green": "square",
    "blue": "down",
    "red": "up",
    "violet": "diamond",
    "teal": "cross",
    "rose": "plus",
    "olive": "hexagon",
}
"""By the `colour` of a series, so that no line is known by colour alone."""
_PALETTE = tuple(MARKERS)
_DASHES = ("dashed", "dotted")
_POINTS = 300  # of a line, at most
_FEWEST = 3  # points of a curve
_MARKED = 4  # points of a line with a marker


@dataclasses.dataclass(frozen=True)
class Dot:
    """A mean with its interval.

    Attributes:
        name: written beside it.
        mean, half: the value and the half width of its interval.
        chosen: whether it is highlighted.
    """

    name: str
    mean: float
    half: float
    chosen: bool = False


@dataclasses.dataclass(frozen=True)
class DotChart:
    """Means with their intervals, one below the other, and a line at zero.

    Attributes:
        dots: from top to bottom.
        alt: the content of the chart in words.
        unit: of the values.
    """

    dots: Sequence[Dot]
    alt: str
    unit: str


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        name: of the line.
        x, y: of its points; points where `y` is not finite are left out.
        colour: a name in `figures.COLOURS` and the style sheet.
        dash: `"dashed"`, `"dotted"`, or empty for a solid line.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = "soft"
    dash: str = ""

    @property
    def marker(self) -> str:
        """A name in the values of `MARKERS`; empty for a `soft` line."""
        return MARKERS.get(self.colour, "")


@dataclasses.dataclass(frozen=True)
class LineChart:
    """Lines over one pair of axes.

    Attributes:
        series: later ones lie above earlier ones.
        alt: the content of the chart in words.
        x_name, y_name: of the axes.
        title: of the chart.
        named: whether names are written beside the ends of lines; never those
            of `soft` ones.
    """

    series: Sequence[Series]
    alt: str
    x_name: str
    y_name: str
    title: str = ""
    named: bool = False

    @property
    def is_short(self) -> bool:
        """Whether there are too few points for a curve."""
        return all(len(each.x) < _FEWEST for each in self.series)

    def marked(self, place: int) -> list[int]:
        """Returns the points of a series that have a marker.

        Each series has them elsewhere, so that equal lines stay visible.

        Args:
            place: of the series.
        """
        series = self.series[place]
        if not series.marker:
            return []
        count = len(series.x)
        if count <= 2 * _MARKED:
            return list(range(count))
        share = (place + 0.5) / len(self.series)
        places = (np.arange(_MARKED) + share) * count / _MARKED
        return np.minimum(places.astype(int), count - 1).tolist()


@dataclasses.dataclass(frozen=True)
class Bar:
    """The weight of a source class.

    Attributes:
        class_id: of the class.
        name: of the class.
        weight: its weight.
        low, high: the ends of DATL's interval.
    """

    class_id: int
    name: str
    weight: float
    low: float
    high: float


def gains(rows: Sequence[Row]) -> DotChart:
    """Returns the gains over the baseline, which itself is at zero.

    Args:
        rows: of the closing table; those without a gain are left out.
    """
    dots, sentences, base = [], [], base_of(rows)
    for row in rows:
        if row.gain:
            gain = row.gain.mean, row.gain.interval
            sentences.append(f"{row.method} {points(*gain, sign=True)}")
        elif row.method == base:
            gain = 0.0, 0.0
        else:
            continue
        dots.append(Dot(row.method, *(100 * g for g in gain), row.chosen))
    alt = f"Gains over {base} in points: {'; '.join(sentences)}."
    return DotChart(dots, alt.replace("+-", "\u00b1"), "points")


def look(method: str) -> tuple[str, str]:
    """Returns the `colour` and `dash` of a method's lines.

    Each family of methods has a colour. The method that it is named after has
    a solid line, the others have broken ones.
    """
    families: dict[str, list[str]] = {}
    for name, facts in METHODS.items():
        families.setdefault(facts.family or name, [])
        if facts.family:
            families[facts.family].append(name)
    family = METHODS[method].family or method
    colour = _PALETTE[[*families].index(family) % len(_PALETTE)]
    if method == family:
        return colour, ""
    return colour, _DASHES[families[family].index(method) % len(_DASHES)]


def learning_curves(
    results: Sequence[Result], methods: Sequence[str]
) -> list[LineChart]:
    """Returns the training loss of every stage, averaged over seeds.

    A stage without a title in `STAGES` has its name for a title. Methods that
    share a stage have one line, with all their names.

    Args:
        results: of all methods and seeds.
        methods: in the order in which to draw them.
    """
    charts = []
    stages = {stage: stage for r in results for stage in r.history}
    for stage, title in (STAGES | stages | STAGES).items():
        series: list[Series] = []
        for method in methods:
            losses = [
                r.history[stage]["loss"]
                for r in results
                if r.method == method and "loss" in r.history.get(stage, {})
            ]
            if losses:
                mean = np.mean(losses, axis=0)
                done = 100 * (1 + np.arange(len(mean))) / len(mean)
                series.append(Series(method, done, mean, *look(method)))
        series = _joined(series)
        if series:
            ends = ", ".join(f"{s.name} at {s.y[-1]:.2f}" for s in series)
            alt = f"Training loss, {title}; at the end {ends}."
            axes = "% of the stage's steps", "training loss"
            charts.append(LineChart(series, alt, *axes, title))
    return charts


def _joined(series: Sequence[Series]) -> list[Series]:
    """Joins the names of equal lines, which else would hide each other."""
    joined: list[Series] = []
    for each in series:
        for place, other in enumerate(joined):
            if np.array_equal(each.y, other.y, equal_nan=True):
                name = f"{other.name}, {each.name}"
                joined[place] = dataclasses.replace(other, name=name)
                break
        else:
            joined.append(each)
    return joined


def bars(
    table: WeightTable, classes: Sequence[int], column: str = "weight"
) -> list[Bar]:
    """Returns the mean weights of some classes.

    Args:
        table: the weights.
        classes: in the order of the bars.
        column: of the table.
    """
    weights, (lows, highs) = table.mean(column), table.interval()
    return [
        Bar(int(c), table.class_names[c], weights[c], lows[c], highs[c])
        for c in classes
    ]


def sorted_weights(table: WeightTable) -> LineChart:
    """Returns the weights of all classes, from the largest to the smallest."""
    count = len(table.class_names)
    ends = [1, max(2, count)]
    series = [Series("equal weights", ends, [1.0, 1.0], "soft", "dashed")]
    ranks = np.unique(np.linspace(0, count - 1, _POINTS).astype(int))
    columns = {"estimated": ("weight", "blue", "")} | {
        method: (column, *look(method))
        for method, column in table.learned().items()
    }
    for name, (column, *style) in columns.items():
        values = np.sort(table.mean(column))[::-1]
        series.append(Series(name, 1 + ranks, values[ranks], *style))
    weights = table.mean("weight")
    alt = (
        f"Weights of all {count} source classes in falling order, "
        f"from {weights.max():.1f} to {weights.min():.2f}."
    )
    axes = "source classes by rank", "weight"
    return LineChart(series, alt, *axes, named=True)
