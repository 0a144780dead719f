import math

import pytest

from tf_transfer.experiment import statistics
from tf_transfer.report.text import advice, points, table


def of(method, *accuracies, loss=1.0, validation=None):
    """Results of a method, one for each seed."""
    return [
        {
            "method": method,
            "seed": seed,
            "test": {"accuracy": accuracy},
            "validation": {"accuracy": chosen_by, "loss": loss},
            "seconds": 30.0 + 60 * seed,
        }
        for seed, (accuracy, chosen_by) in enumerate(
            zip(accuracies, validation or accuracies, strict=True)
        )
    ]


def test_gain_is_the_paired_difference_by_hand():
    results = of("finetune", 0.80, 0.90, 0.85) + of("datl", 0.83, 0.94, 0.90)
    found = statistics.gain(results, "datl", "finetune")
    # Differences of .03, .04 and .05; Student's t of 2 degrees is 4.3027.
    assert found.mean == pytest.approx(0.04)
    assert found.error == pytest.approx(0.01 / math.sqrt(3))
    assert found.interval == pytest.approx(4.3027 * found.error, rel=1e-4)
    assert found.told
    back = statistics.gain(results, "finetune", "datl")
    assert (back.mean, back.told) == (pytest.approx(-0.04), True)


def test_gain_is_told_where_the_interval_leaves_out_zero():
    assert not statistics.Gain(0.02, 0.02, 0.01).told
    assert statistics.Gain(0.0201, 0.02, 0.01).told
    assert statistics.Gain(-0.0201, 0.02, 0.01).told


def test_gain_takes_the_seeds_in_common_and_the_part_asked_for():
    results = of("finetune", 0.5, 0.6, validation=(0.1, 0.2))
    results += of("datl", 0.9, validation=(0.4,))
    found = statistics.gain(results, "datl", "finetune")
    assert found.mean == pytest.approx(0.4)
    assert (found.interval, found.error) == (math.inf, math.inf)
    assert not found.told
    found = statistics.gain(results, "datl", "finetune", "validation")
    assert found.mean == pytest.approx(0.3)
    assert statistics.gain(results, "finetune", "finetune") is None
    assert statistics.gain(results, "l2tl", "finetune") is None
    assert statistics.gain(results[1:], "datl", "finetune") is None


BASE = of("finetune", 0.8, 0.8, 0.8)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        # A gain of .05 with a standard error of .0577, or of .0404.
        ([of("datl", 0.75, 0.95, 0.85)], "finetune"),
        ([of("datl", 0.78, 0.92, 0.85)], "datl"),
        # A smaller gain that is surer: .01 against .05 - .0404.
        ([of("datl", 0.78, 0.92, 0.85), of("l2tl", 0.81, 0.81, 0.81)], "l2tl"),
        ([of("datl", 0.79, 0.79, 0.79)], "finetune"),
        # Between equals the smaller loss.
        ([of("datl", 0.8, 0.8, 0.8, loss=0.9)], "datl"),
        ([of("datl", 0.8, 0.8, 0.8, loss=1.1)], "finetune"),
        (
            [
                of("datl", 0.9, 0.9, 0.9),
                of("l2tl", 0.9, 0.9, 0.9, loss=0.5),
            ],
            "l2tl",
        ),
        # Not by the test images.
        (
            [of("datl", 0.1, 0.1, 0.1, validation=(0.9, 0.9, 0.9))],
            "datl",
        ),
    ],
)
def test_choose_by_the_one_standard_error_rule(others, chosen):
    results = [*BASE, *(result for other in others for result in other)]
    methods = ["finetune", *(other[0]["method"] for other in others)]
    for order in (methods, methods[::-1]):
        assert statistics.choose(results, order) == chosen


def test_rounding_makes_no_equals_unequal():
    # The mean difference of (0, d) is its standard error.
    results = of("finetune", 0.7, 0.7, loss=0.5) + of("datl", 0.7, 0.8)
    assert statistics.choose(results, ["datl", "finetune"]) == "finetune"
    # .1 + .2 + .3 is not .3 + .2 + .1.
    results = of("scratch", 0.1, 0.2, 0.3)
    results += of("datl", 0.3, 0.2, 0.1, loss=0.5)
    assert statistics.choose(results, ["scratch", "datl"]) == "datl"
    results = of("scratch", 0.3, 0.2, 0.1)
    results += of("datl", 0.1, 0.2, 0.3, loss=0.5)
    assert statistics.choose(results, ["scratch", "datl"]) == "datl"


def test_choose_the_most_accurate_of_one_seed_or_without_fine_tuning():
    one = of("finetune", 0.8) + of("datl", 0.9) + of("l2tl", 0.9, loss=0.5)
    assert statistics.choose(one, ["finetune", "datl"]) == "datl"
    assert statistics.choose(one, ["finetune", "datl", "l2tl"]) == "l2tl"
    several = of("scratch", 0.1, 0.9) + of("datl", 0.5, 0.4)
    assert statistics.choose(several, ["scratch", "datl"]) == "scratch"
    assert statistics.choose(several, ["datl"]) == "datl"


def test_choose_a_control_only_where_there_is_nothing_else():
    results = of("finetune", 0.5, 0.5) + of("joint", 0.9, 0.9)
    results += of("l2tl", 0.6, 0.6)
    methods = ["finetune", "joint", "l2tl"]
    assert statistics.choose(results, methods) == "l2tl"
    assert statistics.choose(results, ["joint"]) == "joint"


def test_choose_trusts_no_gain_of_a_single_seed():
    results = BASE + of("datl", 0.99)
    assert statistics.choose(results, ["finetune", "datl"]) == "finetune"


def test_summary_pairs_the_gain_by_seed():
    results = of("finetune", 0.80, 0.90) + of("datl", 0.83, 0.93)
    for result in results[2:]:
        result["seconds"] = 600.0
    base, datl = statistics.summary(results, ["finetune", "datl"])
    assert base.gain is None
    assert base.interval == pytest.approx(12.706 * 0.05, rel=1e-4)
    assert (base.chosen, datl.chosen) == (False, True)
    assert datl.accuracy == pytest.approx(0.88)
    assert datl.gain.mean == pytest.approx(0.03)
    assert datl.gain.interval == pytest.approx(0, abs=1e-9)
    assert (base.minutes, datl.minutes) == (1.0, 10.0)


def test_points():
    assert points(0.9014, 0.0123) == "90.1 +- 1.2"
    assert points(0.012, 0.003, sign=True) == "+1.2 +- 0.3"
    assert points(-0.012, math.inf, sign=True) == "-1.2"


def test_table_of_two_seeds():
    results = of("finetune", 0.80, 0.90) + of("datl", 0.83, 0.93)
    text = table(statistics.summary(results, ["finetune", "datl"]), 2)
    assert text.splitlines() == [
        "method             target accuracy %           gain    min",
        "finetune                85.0 +- 63.5              -   1.00",
        "datl                    88.0 +- 63.5    +3.0 +- 0.0   1.00  chosen",
        "2 seeds; +- is a 95 % interval over seeds; gain is the paired "
        "difference to",
        "fine-tuning from the whole source, in points; min is minutes per seed,"
        " without",
        "the generalist that all but scratch share; chosen by the validation "
        "images.",
    ]
    assert max(map(len, text.splitlines())) <= 80


def test_table_of_one_seed_without_fine_tuning():
    rows = statistics.summary(of("datl", 0.83), ["datl"])
    _, line, *rest = table(rows, 1).splitlines()
    assert line.split() == ["datl", "83.0", "-", "0.50", "chosen"]
    assert rest[0].startswith("1 seed; ")


def test_advice_of_a_method_that_gains():
    results = (
        of("finetune", 0.80, 0.90)
        + of("finetune_related", 0.80, 0.92)
        + of("datl", 0.83, 0.93)
        + of("datl_uniform", 0.81, 0.91)
    )
    methods = ["finetune", "finetune_related", "datl", "datl_uniform"]
    assert advice(results, methods) == [
        "datl gains 3.0 +- 0.0 points here; better than datl_uniform; not "
        "shown better than finetune_related.",
        "By the validation images datl is the choice.",
    ]


def test_advice_where_nothing_is_told_to_help():
    results = (
        of("finetune", 0.80, 0.90)
        + of("datl", 0.80, 0.92)
        + of("l2tl", 0.78, 0.88)
        + of("joint", 0.70, 0.80)
        + of("l2tl_frozen", 0.78, 0.88)
    )
    methods = ["finetune", "datl", "l2tl", "joint", "l2tl_frozen"]
    assert advice(results, methods) == [
        "datl cannot be told from fine-tuning here (+1.0 +- 12.7 points).",
        "l2tl loses 2.0 +- 0.0 points here; better than joint; not shown "
        "better than l2tl_frozen.",
        "Nothing is shown to help here: more labels, more seeds or another "
        "source may.",
        "By the validation images plain fine-tuning is the choice.",
    ]


def test_advice_where_the_chosen_control_gains():
    results = (
        of("finetune", 0.80, 0.90)
        + of("finetune_related", 0.83, 0.93)
        + of("datl", 0.80, 0.92)
    )
    methods = ["finetune", "finetune_related", "datl"]
    assert advice(results, methods) == [
        "datl cannot be told from fine-tuning here (+1.0 +- 12.7 points); not "
        "shown better than finetune_related.",
        "finetune_related gains 3.0 +- 0.0 points here.",
        "By the validation images finetune_related is the choice.",
    ]


def test_advice_says_than_what_a_method_is_worse():
    results = (
        of("finetune", 0.80, 0.90)
        + of("finetune_related", 0.85, 0.95)
        + of("datl", 0.82, 0.92)
        + of("datl_reversed", 0.70, 0.80)
        + of("datl_uniform", 0.80, 0.93)
    )
    methods = ["finetune", *dict.fromkeys(r["method"] for r in results)]
    assert advice(results, methods)[0] == (
        "datl gains 2.0 +- 0.0 points here; better than datl_reversed; worse "
        "than finetune_related; not shown better than datl_uniform."
    )


def test_advice_of_plain_fine_tuning_alone():
    results = of("scratch", 0.5, 0.6) + of("finetune", 0.80, 0.90)
    assert advice(results, ["scratch", "finetune"]) == [
        "By the validation images plain fine-tuning is the choice."
    ]


@pytest.mark.parametrize(
    ("head", "controls", "said"),
    [
        (
            "fresh",
            "not shown better than datl_uniform",
            "All methods but finetune_related start from a fresh head.",
        ),
        (
            "related",
            "better than finetune_related; not shown better than datl_uniform",
            "finetune starts from a fresh head, the other methods from a "
            "related one.",
        ),
    ],
)
def test_a_gain_of_the_head_is_not_the_methods(head, controls, said):
    results = (
        of("finetune", 0.80, 0.90)
        + of("finetune_related", 0.70, 0.80)
        + of("datl", 0.83, 0.93)
        + of("datl_uniform", 0.83, 0.93)
    )
    for result in results:
        result["head"] = statistics.HEADS.get(result["method"], head)
    methods = ["finetune", "finetune_related", "datl", "datl_uniform"]
    assert advice(results, methods) == [
        f"datl gains 3.0 +- 0.0 points here; {controls}.",
        said,
        "By the validation images datl is the choice.",
    ]


@pytest.mark.parametrize("second", [0.90, 0.92])  # with gains of 0, or 0, 2
def test_a_choice_that_the_test_images_do_not_bear_out_says_so(second):
    """The choice goes by the validation images, the gain by the others."""
    results = of("finetune", 0.80, 0.90)
    results += of("datl", 0.80, second, validation=(0.83, 0.93))
    *_, choice = advice(results, ["finetune", "datl"])
    assert choice == (
        "By the validation images datl is the choice, which the test images "
        "do not confirm."
    )


def test_plain_fine_tuning_chosen_beside_a_gain_says_so():
    results = of("finetune", 0.80, 0.90)
    results += of("datl", 0.83, 0.93, validation=(0.7, 0.8))
    *_, choice = advice(results, ["finetune", "datl"])
    assert choice == (
        "By the validation images plain fine-tuning is the choice, though "
        "others gain on the test images."
    )


def test_all_methods_start_from_a_fresh_head():
    results = of("finetune", 0.80, 0.90) + of("datl", 0.83, 0.93)
    for result in results:
        result["head"] = "fresh"
    said = advice(results, ["finetune", "datl"])
    assert "All methods start from a fresh head." in said


def test_no_advice_without_seeds_or_fine_tuning():
    one = of("finetune", 0.8) + of("datl", 0.9)
    assert advice(one, ["finetune", "datl"]) == []
    two = of("scratch", 0.8, 0.7) + of("datl", 0.9, 0.9)
    assert advice(two, ["scratch", "datl"]) == []


def test_no_advice_on_a_method_without_a_seed_in_common():
    results = of("finetune", 0.8, 0.7)[:1] + of("datl", 0.9, 0.9)[1:]
    assert advice(results, ["finetune", "datl"]) == [
        "By the validation images plain fine-tuning is the choice."
    ]


def test_the_controls_are_methods():
    from tf_transfer.experiment.methods import METHODS

    assert statistics.BASELINE in METHODS
    for method, controls in statistics.CONTROLS.items():
        assert {method, *controls} <= set(METHODS)


def test_the_best_seed_is_the_best_by_validation():
    results = of("datl", 0.9, 0.5, 0.6, validation=(0.1, 0.7, 0.7))
    results += of("finetune", 1.0)
    results[2]["validation"]["loss"] = 0.5
    assert statistics.best_seed(results, "datl")["seed"] == 2
    results[2]["validation"]["loss"] = 1.0
    assert statistics.best_seed(results[::-1], "datl")["seed"] == 1
