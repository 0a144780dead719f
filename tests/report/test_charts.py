import numpy as np
import pytest

from tests import helpers
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.statistics import Gain, Row
from tf_transfer.report import charts


def row(method, gain=None, chosen=False):
    return Row(method, 0.9, 0.01, gain, 1.0, chosen)


def test_gains_are_in_points_and_fine_tuning_is_at_zero():
    rows = [row("finetune"), row("datl", Gain(0.02, 0.01, 0.005), chosen=True)]
    chart = charts.gains([*rows, row("scratch")])
    zero, datl = chart.dots
    assert (zero.name, zero.mean, zero.half) == ("finetune", 0, 0)
    assert (datl.name, datl.mean, datl.half) == ("datl", 2, 1)
    assert datl.chosen
    assert "points: datl +2.0 \u00b1 1.0." in chart.alt


def result(method, *losses, stage="finetuning"):
    return helpers.result(method, history={stage: {"loss": losses}})


def test_curves_are_means_over_seeds_by_stage():
    results = [
        result("datl", 3.0, 1.0),
        result("datl", 1.0, 0.0),
        result("datl_uniform", 2.0, 2.0, stage="pretraining"),
    ]
    first, last = charts.learning_curves(results, ["datl", "datl_uniform"])
    assert first.title == charts.STAGES["pretraining"]
    assert [(s.name, s.colour, s.dash) for s in first.series] == [
        ("datl_uniform", "blue", "dashed")
    ]
    (datl,) = last.series
    np.testing.assert_array_equal(datl.x, [50, 100])
    np.testing.assert_array_equal(datl.y, [2.0, 0.5])
    assert last.alt.endswith("at the end datl at 0.50.")
    assert charts.learning_curves(results, ["scratch"]) == []
    own = [result("datl", 1.0, stage="distilling")]
    (chart,) = charts.learning_curves(own, ["datl"])
    assert chart.title == "distilling"


def test_bars_have_the_intervals_of_their_weights():
    table = helpers.weight_table([1.0, 2.0])
    (bar,) = charts.bars(table, [1])
    assert (bar.class_id, bar.name, bar.weight) == (1, "class 1", 2)
    assert (bar.low, bar.high) == (1, 3)


def test_sorted_weights_fall_for_every_method():
    table = helpers.weight_table(np.linspace(0, 2, 1000))
    table.columns["l2tl_weight"] = np.linspace(0.5, 1.5, 1000)[None]
    equal, datl, l2tl = charts.sorted_weights(table).series
    assert (equal.x, equal.y) == ([1, 1000], [1, 1])
    assert [(s.name, s.colour) for s in (datl, l2tl)] == [
        ("estimated", "blue"),
        ("l2tl", "red"),
    ]
    for series, largest in ((datl, 2), (l2tl, 1.5)):
        assert len(series.x) == len(series.y) == 300
        assert (series.x[0], series.x[-1]) == (1, 1000)
        assert series.y[0] == pytest.approx(largest)
        assert (np.diff(series.y) < 0).all()


def test_families_share_a_colour_and_controls_have_broken_lines():
    looks = {name: charts.look(name) for name in METHODS}
    assert looks["scratch"] == ("brown", "")
    assert looks["finetune_related"] == ("green", "dashed")
    assert looks["datl_reversed"] == ("blue", "dotted")
    assert looks["l2tl"] == ("red", "")
    assert len(set(looks.values())) == len(looks)


def test_methods_that_share_a_stage_share_a_line():
    results = [
        result("finetune", 3.0, 1.0, stage="pretraining"),
        result("datl", 3.0, 2.0, stage="pretraining"),
        result("joint", 3.0, 1.0, stage="pretraining"),
    ]
    (chart,) = charts.learning_curves(results, ["finetune", "datl", "joint"])
    shared, alone = chart.series
    assert shared.name == "finetune, joint"
    assert (shared.colour, shared.dash) == charts.look("finetune")
    assert alone.name == "datl"


def test_no_two_methods_differ_in_colour_alone():
    looks = [charts.look(name) for name in METHODS]
    assert len({(charts.MARKERS[c], dash) for c, dash in looks}) == len(looks)


@pytest.mark.parametrize(
    ("points", "short"), [(1, True), (2, True), (3, False)]
)
def test_a_curve_has_at_least_three_points(points, short):
    series = [charts.Series("a", range(points), range(points), "blue")]
    assert charts.LineChart(series, "a", "x", "y").is_short is short


def test_lines_have_their_markers_at_different_points():
    many = [charts.Series(c, range(90), [0.0] * 90, c) for c in charts.MARKERS]
    many.append(charts.Series("soft", range(90), [0.0] * 90))
    chart = charts.LineChart(many, "equal lines", "x", "y")
    *marked, none = [chart.marked(i) for i in range(len(many))]
    assert none == []
    assert {len(places) for places in marked} == {4}
    assert len({place for places in marked for place in places}) == 32
    few = charts.LineChart(
        [charts.Series("a", [0, 1], [2, 3], "red")], "", "", ""
    )
    assert few.marked(0) == [0, 1]
