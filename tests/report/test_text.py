import dataclasses
import math

import pytest

from tests.helpers import results_of
from tf_transfer.experiment import statistics
from tf_transfer.experiment.methods import METHODS
from tf_transfer.report.text import (
    advice,
    expected,
    interim_table,
    points,
    table,
)


def test_points():
    assert points(0.9014, 0.0123) == "90.1 +- 1.2"
    assert points(0.012, 0.003, sign=True) == "+1.2 +- 0.3"
    assert points(-0.012, math.inf, sign=True) == "-1.2"


def test_table_of_two_seeds():
    results = results_of("finetune", 0.80, 0.90) + results_of(
        "datl", 0.83, 0.93
    )
    text = table(statistics.summary(results, ["finetune", "datl"]), 2)
    assert text.splitlines() == [
        "method             target accuracy %           gain    min",
        "finetune                85.0 +- 63.5              -   1.00",
        "datl                    88.0 +- 63.5    +3.0 +- 0.0   1.00  chosen",
        "2 seeds; +- is a 95 % interval over seeds; gain is the paired "
        "difference to finetune in points; min is minutes per seed, without "
        "the generalist that all but scratch share; chosen by the validation "
        "images.",
    ]


@pytest.mark.parametrize(
    ("width", "columns", "explained"),
    [
        (None, ["gain", "seen", "min"], ["gain is", "seen counts", "min is"]),
        (80, ["gain", "seen", "min"], ["gain is", "seen counts", "min is"]),
        (70, ["gain", "min"], ["gain is", "min is"]),
        (60, ["gain"], ["gain is"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns(width, columns, explained):
    results = results_of("finetune", 0.80, 0.90)
    results += results_of("datl", 0.83, 0.93)
    rows = statistics.summary(results, ["finetune", "datl"])
    seen = {"finetune": 1_234_567, "datl": 10}
    head, *lines, legend = table(rows, 2, seen, width).splitlines()
    assert head.split() == ["method", "target", "accuracy", "%", *columns]
    assert all(len(line) <= (width or 80) for line in [head, *lines])
    assert lines[1].endswith("chosen")
    for words in ("gain is", "seen counts", "min is"):
        assert (words in legend) is (words in explained)


def test_a_long_method_name_moves_all_columns():
    results = results_of("finetune", 0.80, 0.90)
    (row,) = statistics.summary(results, ["finetune"])
    rows = [row, dataclasses.replace(row, method="a_method_with_a_long_name")]
    head, *lines, _ = table(rows, 2).splitlines()
    assert lines[1].startswith("a_method_with_a_long_name ")
    ends = [line.index(".00") for line in lines]
    assert ends[0] == ends[1] == head.index("min")


def test_the_interim_table_holds_what_is_there():
    results = results_of("finetune", 0.80, 0.90) + results_of("datl", 0.83)
    lines = interim_table(results, ["scratch", "finetune", "datl"], 2)
    assert lines.splitlines() == [
        "3 of 6 trainings",
        "method             target accuracy %           gain    min",
        "finetune                85.0 +- 63.5              -   1.00",
        "datl                            83.0           +3.0   0.50",
    ]


def test_table_of_one_seed_without_fine_tuning():
    rows = statistics.summary(results_of("datl", 0.83), ["datl"])
    _, line, *rest = table(rows, 1).splitlines()
    assert line.split() == ["datl", "83.0", "-", "0.50", "chosen"]
    assert rest[0].startswith("1 seed; ")


def test_few_test_images_are_told():
    """Wilson's interval of 4 right ones of 4 begins at 4 / (4 + 1.96^2)."""
    rows = statistics.summary(results_of("datl", 1.0, 1.0), ["datl"])
    accuracy, few = expected(rows, 4)
    assert "expect an accuracy of 100.0 +- 0.0 %" in accuracy
    assert "only 4 test images" in few
    assert "from 51 to 100 %" in few
    assert expected(rows, 1000) == expected(rows) == [accuracy]


def test_advice_on_a_gain_over_plain_fine_tuning_alone():
    results = (
        results_of("finetune", 0.80, 0.90)
        + results_of("finetune_related", 0.80, 0.92)
        + results_of("datl", 0.83, 0.93)
        + results_of("datl_uniform", 0.81, 0.91)
    )
    methods = ["finetune", "finetune_related", "datl", "datl_uniform"]
    assert advice(results, methods) == [
        "datl shows no significant difference from finetune_related here "
        "(+2.0 +- 12.7 points); better than datl_uniform.",
        "No method shows a significant gain here: more labels, more seeds or "
        "another source may help.",
        "By the validation images datl is the choice, which the test images "
        "do not confirm.",
    ]


def test_advice_without_a_significant_gain():
    results = (
        results_of("finetune", 0.80, 0.90)
        + results_of("datl", 0.80, 0.92)
        + results_of("l2tl", 0.78, 0.88)
        + results_of("joint", 0.70, 0.80)
        + results_of("l2tl_frozen", 0.78, 0.88)
    )
    methods = ["finetune", "datl", "l2tl", "joint", "l2tl_frozen"]
    assert advice(results, methods) == [
        "datl shows no significant difference from finetune here "
        "(+1.0 +- 12.7 points).",
        "l2tl loses 2.0 +- 0.0 points against finetune here; better than "
        "joint; no significant difference from l2tl_frozen.",
        "No method shows a significant gain here: more labels, more seeds or "
        "another source may help.",
        "By the validation images finetune, fine-tuning from the whole "
        "source, is the choice.",
    ]


def test_the_related_head_alone_is_no_gain():
    results = (
        results_of("finetune", 0.80, 0.90)
        + results_of("finetune_related", 0.83, 0.93)
        + results_of("datl", 0.80, 0.92)
    )
    methods = ["finetune", "finetune_related", "datl"]
    assert advice(results, methods) == [
        "datl shows no significant difference from finetune_related here "
        "(-2.0 +- 12.7 points).",
        "No method shows a significant gain here: more labels, more seeds or "
        "another source may help.",
        "By the validation images finetune_related, fine-tuning from the whole "
        "source, is the choice.",
    ]


def test_advice_lists_better_worse_and_equal_controls():
    results = (
        results_of("finetune", 0.80, 0.90)
        + results_of("finetune_related", 0.85, 0.95)
        + results_of("datl", 0.82, 0.92)
        + results_of("datl_reversed", 0.70, 0.80)
        + results_of("datl_uniform", 0.80, 0.93)
    )
    methods = ["finetune", *dict.fromkeys(r.method for r in results)]
    assert advice(results, methods)[0] == (
        "datl loses 3.0 +- 0.0 points against finetune_related here; better "
        "than datl_reversed; no significant difference from datl_uniform."
    )


def test_advice_of_plain_fine_tuning_alone():
    results = results_of("scratch", 0.5, 0.6) + results_of(
        "finetune", 0.80, 0.90
    )
    assert advice(results, ["scratch", "finetune"]) == [
        "By the validation images finetune, fine-tuning from the whole "
        "source, is the choice."
    ]


@pytest.mark.parametrize(
    ("head", "gain", "sentence"),
    [
        (
            "fresh",
            "3.0 +- 0.0 points over finetune",
            "All methods except finetune_related start from a fresh head.",
        ),
        (
            "related",
            "13.0 +- 0.0 points over finetune_related",
            "finetune starts from a fresh head, the other methods from a "
            "related one.",
        ),
    ],
)
def test_a_gain_is_over_fine_tuning_with_the_same_head(head, gain, sentence):
    results = (
        results_of("finetune", 0.80, 0.90)
        + results_of("finetune_related", 0.70, 0.80)
        + results_of("datl", 0.83, 0.93)
        + results_of("datl_uniform", 0.83, 0.93)
    )
    results = [
        dataclasses.replace(r, head=METHODS[r.method].head or head)
        for r in results
    ]
    methods = ["finetune", "finetune_related", "datl", "datl_uniform"]
    assert advice(results, methods) == [
        f"datl gains {gain} here; no significant difference from datl_uniform.",
        sentence,
        "By the validation images datl is the choice.",
    ]


@pytest.mark.parametrize("second", [0.90, 0.92])  # with gains of 0, or 0, 2
def test_a_choice_that_the_test_images_do_not_confirm(second):
    """The choice uses the validation images, the gain the test images."""
    results = results_of("finetune", 0.80, 0.90)
    results += results_of("datl", 0.80, second, validation=(0.83, 0.93))
    *_, choice = advice(results, ["finetune", "datl"])
    assert choice == (
        "By the validation images datl is the choice, which the test images "
        "do not confirm."
    )


def test_the_choice_of_fine_tuning_mentions_the_gains_of_others():
    results = results_of("finetune", 0.80, 0.90)
    results += results_of("datl", 0.83, 0.93, validation=(0.7, 0.8))
    *_, choice = advice(results, ["finetune", "datl"])
    assert choice == (
        "By the validation images finetune, fine-tuning from the whole "
        "source, is the choice, though others gain on the test images."
    )


def test_all_methods_start_from_a_fresh_head():
    results = results_of("finetune", 0.80, 0.90) + results_of(
        "datl", 0.83, 0.93
    )
    results = [dataclasses.replace(each, head="fresh") for each in results]
    sentences = advice(results, ["finetune", "datl"])
    assert "All methods start from a fresh head." in sentences


def test_no_advice_without_seeds_or_fine_tuning():
    one = results_of("finetune", 0.8) + results_of("datl", 0.9)
    assert advice(one, ["finetune", "datl"]) == []
    two = results_of("scratch", 0.8, 0.7) + results_of("datl", 0.9, 0.9)
    assert advice(two, ["scratch", "datl"]) == []


def test_no_advice_on_a_method_without_a_seed_in_common():
    results = (
        results_of("finetune", 0.8, 0.7)[:1] + results_of("datl", 0.9, 0.9)[1:]
    )
    assert advice(results, ["finetune", "datl"]) == [
        "By the validation images finetune, fine-tuning from the whole "
        "source, is the choice."
    ]
