import base64
import io
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from tf_transfer.report import charts, names
from tf_transfer.report.charts import Dot, DotChart, LineChart, Series
from tf_transfer.report.svg import dots, key, lines, picture


def texts(svg):
    return [
        element.text for element in ElementTree.fromstring(svg).iter("text")
    ]


def elements(svg, tag, kind):
    root = ElementTree.fromstring(svg)
    return [
        element
        for element in root.iter(tag)
        if kind in element.get("class", "").split()
    ]


def test_dots_lie_where_their_values_are():
    rows = [Dot("worse", -2.0, 1.0), Dot("better", 2.0, 1.0, chosen=True)]
    svg = dots(DotChart(rows, "two methods", "points"))
    (zero,) = elements(svg, "line", "zero")
    (worse,), (better,) = (
        elements(svg, "g", "other"),
        elements(svg, "g", "chosen"),
    )
    diamond = better.find("path").get("transform")
    places = [
        float(worse.find("circle").get("cx")),
        float(diamond.removeprefix("translate(").split(",")[0]),
    ]
    assert places[0] < float(zero.get("x1")) < places[1]
    reach = better.find("line")
    ends = float(reach.get("x1")), float(reach.get("x2"))
    assert ends[0] < places[1] < ends[1]
    assert np.isclose(np.mean(ends), places[1], atol=0.1)
    assert {"worse", "better", "points", "0"} <= set(texts(svg))
    assert ElementTree.fromstring(svg).get("aria-label") == "two methods"


def test_a_dot_without_an_interval_is_drawn():
    svg = dots(DotChart([Dot("datl", 1.0, np.inf)], "one seed", "points"))
    (group,) = elements(svg, "g", "other")
    line = group.find("line")
    assert line.get("x1") == line.get("x2") == group.find("circle").get("cx")


def test_lines_rise_where_their_values_rise():
    series = [Series("up", [0, 1, 2], [0.0, np.nan, 1.0], "blue", "dashed")]
    svg = lines(LineChart(series, "rises", "step", "weight"))
    (group,) = elements(svg, "g", "series-blue")
    assert "dashed" in group.get("class").split()
    first, last = group.find("polyline").get("points").split()
    assert float(first.split(",")[0]) < float(last.split(",")[0])
    assert float(first.split(",")[1]) > float(last.split(",")[1])


def test_names_beside_lines_are_apart_and_not_below_the_axis():
    series = [Series(f"line {i}", [0, 1], [0, 0.0], "teal") for i in range(5)]
    svg = lines(LineChart(series, "five equal lines", "x", "y", named=True))
    named = elements(svg, "text", "series-teal")
    heights = sorted(float(text.get("y")) for text in named)
    assert len(heights) == 5
    assert min(np.diff(heights)) >= 15
    single = lines(LineChart(series[:1], "one", "x", "y", named=True))
    assert (
        max(heights) <= float(elements(single, "line", "rule")[0].get("y1")) + 5
    )


def test_a_line_of_one_point_and_of_no_spread_is_drawn():
    svg = lines(LineChart([Series("a", [1], [3.0])], "one point", "x", "y"))
    assert elements(svg, "g", "series-soft")[0].find("circle") is not None
    empty = lines(LineChart([Series("a", [1], [np.nan])], "none", "x", "y"))
    assert ElementTree.fromstring(empty).get("aria-label") == "none"


def test_names_are_escaped():
    name = "<b> & \"quoted\" 'name'"
    svg = dots(DotChart([Dot(name, 1.0, 0.5)], name, "points"))
    assert "<b>" not in svg
    assert name in texts(svg)
    assert ElementTree.fromstring(svg).get("aria-label") == name


LONG = (
    "a_method_of_the_whole_source_with_a_long_name",
    "\u975e\u5e38\u306b\u9577\u3044\u30af\u30e9\u30b9\u540d" * 3,
    "\u041e\u0447\u0435\u043d\u044c "
    "\u0434\u043b\u0438\u043d\u043d\u043e\u0435 "
    "\u043d\u0430\u0437\u0432\u0430\u043d\u0438\u0435 "
    "\u043a\u043b\u0430\u0441\u0441\u0430",
)


def test_long_names_beside_dots_are_broken_and_inside_the_picture():
    svg = dots(DotChart([Dot(n, 1.0, 0.5) for n in LONG], "long", "points"))
    for group, name in zip(elements(svg, "g", "other"), LONG, strict=True):
        labels = list(group.iter("text"))
        text = "".join(each.text for each in labels)
        assert text.replace(" ", "") == name.replace(" ", "")
        assert len(labels) > 1
        for each in labels:
            assert each.get("text-anchor") == "end"
            assert float(each.get("x")) > 7 * names.columns(each.text)
        (circle,) = group.iter("circle")
        middle = np.mean([float(each.get("y")) for each in labels])
        assert abs(middle - float(circle.get("cy"))) < 6
    tops = [float(e.get("y")) for e in ElementTree.fromstring(svg).iter("text")]
    assert float(svg.split("viewBox")[1].split()[3].split('"')[0]) > max(tops)


def test_long_names_of_lines_are_numbered_and_listed_in_full():
    series = [Series(n, [0, 1], [i, i], "red") for i, n in enumerate(LONG)]
    svg = lines(LineChart(series, "long", "x", "y", named=True))
    labels = [each.text for each in elements(svg, "text", "series-red")]
    assert {"1", "2", "3"} < set(labels)
    listed = "".join(labels[3:]).replace(" ", "")
    expected = (f"{i}{name}" for i, name in enumerate(LONG, 1))
    assert listed == "".join(expected).replace(" ", "")
    height = float(ElementTree.fromstring(svg).get("viewBox").split()[3])
    below = elements(svg, "text", "series-red")
    assert max(float(each.get("y")) for each in below) < height


def test_short_names_stand_beside_their_lines():
    svg = lines(
        LineChart([Series("datl", [0, 1], [0, 1], "blue")], *"axy", named=True)
    )
    (label,) = elements(svg, "text", "series-blue")
    assert label.text == "datl"


def test_a_line_is_known_without_its_colour():
    for colour, kind in charts.MARKERS.items():
        series = [Series("a", [0, 1], [0, 1], colour)]
        svg = lines(LineChart(series, "two points", "x", "y"))
        tag = "circle" if kind == "circle" else "path"
        for drawn, count in ((svg, 2), (key(series[0]), 1)):
            (group,) = elements(drawn, "g", f"series-{colour}")
            marks = group.findall(tag)
            assert len(marks) == count
            assert all(mark.get("class", "circle") == kind for mark in marks)


def test_pictures_stand_side_by_side():
    images = np.zeros((2, 8, 6, 3), np.uint8)
    images[1] = [10, 20, 30]
    head, _, content = picture(images).partition(",")
    assert head == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    np.testing.assert_array_equal(pixels, np.concatenate(list(images), axis=1))
    large = np.zeros((3, 200, 100, 1), np.uint8)
    content = picture(large, most=50).partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(content))) as small:
        assert small.size == (75, 50)
