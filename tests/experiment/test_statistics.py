import dataclasses
import math

import numpy as np
import pytest

from tests.helpers import results_of
from tf_transfer.experiment import statistics


def test_mean_interval_by_hand():
    mean, half = statistics.mean_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert statistics.mean_interval([1.0]) == (1.0, float("inf"))


@pytest.mark.parametrize(
    ("relevant", "scores", "area"),
    [
        ([1, 1, 0, 0], [4, 3, 2, 1], 1.0),
        ([1, 1, 0, 0], [1, 2, 3, 4], 0.0),
        # Of the four pairs three are in order, or one and one half of one.
        ([1, 0, 1, 0], [4, 3, 2, 1], 0.75),
        ([1, 0, 1, 0], [2, 2, 1, 1.5], 0.375),
        ([1, 0, 0], [7, 7, 7], 0.5),
        ([0, 1], [0.0, 1e-9], 1.0),
    ],
)
def test_roc_area_by_hand(relevant, scores, area):
    result = statistics.roc_area(np.array(relevant, bool), scores)
    assert result == pytest.approx(area)


def test_gain_is_the_paired_difference_by_hand():
    results = results_of("finetune", 0.80, 0.90, 0.85) + results_of(
        "datl", 0.83, 0.94, 0.90
    )
    gain = statistics.gain(results, "datl", "finetune")
    # Differences of .03, .04 and .05; Student's t of 2 degrees is 4.3027.
    assert gain.mean == pytest.approx(0.04)
    assert gain.error == pytest.approx(0.01 / math.sqrt(3))
    assert gain.interval == pytest.approx(4.3027 * gain.error, rel=1e-4)
    assert gain.significant
    back = statistics.gain(results, "finetune", "datl")
    assert (back.mean, back.significant) == (pytest.approx(-0.04), True)


def test_a_gain_is_significant_if_the_interval_excludes_zero():
    assert not statistics.Gain(0.02, 0.02, 0.01).significant
    assert statistics.Gain(0.0201, 0.02, 0.01).significant
    assert statistics.Gain(-0.0201, 0.02, 0.01).significant


def test_gain_takes_the_seeds_in_common_and_the_given_part():
    results = results_of("finetune", 0.5, 0.6, validation=(0.1, 0.2))
    results += results_of("datl", 0.9, validation=(0.4,))
    gain = statistics.gain(results, "datl", "finetune")
    assert gain.mean == pytest.approx(0.4)
    assert (gain.interval, gain.error) == (math.inf, math.inf)
    assert not gain.significant
    gain = statistics.gain(results, "datl", "finetune", "validation")
    assert gain.mean == pytest.approx(0.3)
    assert statistics.gain(results, "finetune", "finetune") is None
    assert statistics.gain(results, "l2tl", "finetune") is None
    assert statistics.gain(results[1:], "datl", "finetune") is None


BASE = results_of("finetune", 0.8, 0.8, 0.8)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        # A gain of .05 with a standard error of .0577, or of .0404.
        ([results_of("datl", 0.75, 0.95, 0.85)], "finetune"),
        ([results_of("datl", 0.78, 0.92, 0.85)], "datl"),
        # A smaller gain with a smaller error: .01 against .05 - .0404.
        (
            [
                results_of("datl", 0.78, 0.92, 0.85),
                results_of("l2tl", 0.81, 0.81, 0.81),
            ],
            "l2tl",
        ),
        ([results_of("datl", 0.79, 0.79, 0.79)], "finetune"),
        # Of equal methods the one with the smaller loss.
        ([results_of("datl", 0.8, 0.8, 0.8, loss=0.9)], "datl"),
        ([results_of("datl", 0.8, 0.8, 0.8, loss=1.1)], "finetune"),
        (
            [
                results_of("datl", 0.9, 0.9, 0.9),
                results_of("l2tl", 0.9, 0.9, 0.9, loss=0.5),
            ],
            "l2tl",
        ),
        # Not by the test images.
        (
            [results_of("datl", 0.1, 0.1, 0.1, validation=(0.9, 0.9, 0.9))],
            "datl",
        ),
    ],
)
def test_choose_by_the_one_standard_error_rule(others, chosen):
    results = [*BASE, *(result for other in others for result in other)]
    methods = ["finetune", *(other[0].method for other in others)]
    for order in (methods, methods[::-1]):
        assert statistics.choose(results, order) == chosen


def test_rounding_errors_do_not_decide():
    # The mean difference of (0, d) is its standard error.
    results = results_of("finetune", 0.7, 0.7, loss=0.5) + results_of(
        "datl", 0.7, 0.8
    )
    assert statistics.choose(results, ["datl", "finetune"]) == "finetune"
    # .1 + .2 + .3 is not .3 + .2 + .1.
    results = results_of("scratch", 0.1, 0.2, 0.3)
    results += results_of("datl", 0.3, 0.2, 0.1, loss=0.5)
    assert statistics.choose(results, ["scratch", "datl"]) == "datl"
    results = results_of("scratch", 0.3, 0.2, 0.1)
    results += results_of("datl", 0.1, 0.2, 0.3, loss=0.5)
    assert statistics.choose(results, ["scratch", "datl"]) == "datl"


def test_choose_the_most_accurate_of_one_seed_or_without_fine_tuning():
    one = (
        results_of("finetune", 0.8)
        + results_of("datl", 0.9)
        + results_of("l2tl", 0.9, loss=0.5)
    )
    assert statistics.choose(one, ["finetune", "datl"]) == "datl"
    assert statistics.choose(one, ["finetune", "datl", "l2tl"]) == "l2tl"
    several = results_of("scratch", 0.1, 0.9) + results_of("datl", 0.5, 0.4)
    assert statistics.choose(several, ["scratch", "datl"]) == "scratch"
    assert statistics.choose(several, ["datl"]) == "datl"


def test_choose_a_control_only_where_there_is_nothing_else():
    results = results_of("finetune", 0.5, 0.5) + results_of("joint", 0.9, 0.9)
    results += results_of("l2tl", 0.6, 0.6)
    methods = ["finetune", "joint", "l2tl"]
    assert statistics.choose(results, methods) == "l2tl"
    assert statistics.choose(results, ["joint"]) == "joint"


def test_choose_trusts_no_gain_of_a_single_seed():
    results = BASE + results_of("datl", 0.99)
    assert statistics.choose(results, ["finetune", "datl"]) == "finetune"


def test_summary_pairs_the_gain_by_seed():
    results = results_of("finetune", 0.80, 0.90) + results_of(
        "datl", 0.83, 0.93
    )
    results[2:] = [dataclasses.replace(r, seconds=600.0) for r in results[2:]]
    base, datl = statistics.summary(results, ["finetune", "datl"])
    assert base.gain is None
    assert base.interval == pytest.approx(12.706 * 0.05, rel=1e-4)
    assert (base.chosen, datl.chosen) == (False, True)
    assert datl.accuracy == pytest.approx(0.88)
    assert datl.gain.mean == pytest.approx(0.03)
    assert datl.gain.interval == pytest.approx(0, abs=1e-9)
    assert (base.minutes, datl.minutes) == (1.0, 10.0)


def test_the_exported_seed_is_the_first():
    """Whatever the validation images of the seeds say."""
    results = results_of("datl", 0.9, 0.5, 0.6, validation=(0.1, 0.7, 0.7))
    results += results_of("finetune", 1.0)
    assert statistics.first_seed(results, "datl").seed == 0
    assert statistics.first_seed(results[2::-1], "datl").seed == 0


@pytest.mark.parametrize(
    ("heads", "methods", "base"),
    [
        (["related"], ["finetune", "finetune_related", "datl"], "_related"),
        (["fresh"], ["finetune", "finetune_related", "datl"], ""),
        ([None], ["finetune", "finetune_related", "datl"], "_related"),
        (["related"], ["finetune", "datl"], ""),
        (["fresh"], ["finetune_related", "datl"], "_related"),
        ([], ["finetune", "finetune_related"], "_related"),
        (["related"], ["scratch", "datl"], None),
    ],
)
def test_the_baseline_has_the_head_of_the_methods(heads, methods, base):
    results = [
        dataclasses.replace(each, head=head)
        for head in heads
        for each in results_of("datl", 0.8, 0.9)
    ]
    expected = "" if base is None else f"finetune{base}"
    assert statistics.baseline(results, methods) == expected


def test_the_rows_tell_their_baseline():
    results = results_of("finetune", 0.8, 0.9) + results_of("datl", 0.8, 0.9)
    assert (
        statistics.base_of(statistics.summary(results, ["finetune", "datl"]))
        == "finetune"
    )
    assert statistics.base_of(statistics.summary(results, ["datl"])) == ""
