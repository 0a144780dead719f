import dataclasses
import json
import math

import pytest

from tf_transfer.errors import InputError
from tf_transfer.experiment.records import forecast
from tf_transfer.experiment.records.forecast import Forecast

FACTS = {
    "passes": 0.5,
    "ess": 0.2,
    "repeats": 1.75,
    "source_accuracy": 0.1,
    "images_per_parameter": 2.2,
    "labels": 20.0,
    "neighbours": 0.6,
    "chance": 0.25,
}


def test_the_gain_is_what_the_docstring_says():
    found = Forecast(**FACTS)
    expected = forecast.GAIN * 0.8 * 0.9**forecast.POWER
    assert found.gain == pytest.approx(expected)
    assert found.helps


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "weighting is likely to help"),
        ({"source_accuracy": 0.9}, "leaves little for weights"),
        ({"ess": 0.95}, "as much as 95% of the source"),
        ({"neighbours": 0.27}, "hardly tell the target's classes apart"),
    ],
)
def test_the_reason(changes, words):
    found = Forecast(**FACTS | changes)
    text = " ".join(found.sentences())
    assert words in text
    assert ("not likely" in text) == bool(changes) == (not found.helps)
    assert "1.8 times" in text


def test_chance_is_left_by_a_tenth_of_the_way_to_certainty():
    """.25 + .1 * .75 = .325."""
    assert not Forecast(**FACTS | {"neighbours": 0.324}).sees_target
    assert Forecast(**FACTS | {"neighbours": 0.326}).sees_target


def test_without_labels_neither_neighbours_nor_a_head_are_spoken_of():
    text = " ".join(Forecast(**FACTS | {"neighbours": None}).sentences())
    assert "weighting is likely to help" in text
    assert "neighbours" not in text
    assert "related head" not in text


def test_a_related_head_is_for_few_labels():
    text = " ".join(Forecast(**FACTS).sentences())
    assert "a related head is likely to help" in text
    assert "Co-tuning is not" in text
    many = Forecast(**FACTS | {"labels": 500.0})
    text = " ".join(many.sentences())
    assert "related head" not in text
    assert "Co-tuning" not in text


def test_a_target_of_one_class_is_no_fault():
    found = Forecast.from_json(FACTS | {"chance": 1}, "forecast.json")
    assert found.helps


def test_large_budgets_are_written_out():
    many = Forecast(**FACTS | {"passes": 86.4, "images_per_parameter": 1234.0})
    text = " ".join(many.sentences())
    assert "86 passes over the source, 1,234 images for each" in text


@pytest.mark.parametrize("neighbours", [0.6, None])
@pytest.mark.parametrize("repeats", [2.0, None])
def test_it_is_read_as_it_was_written(neighbours, repeats):
    found = Forecast(**FACTS | {"neighbours": neighbours, "repeats": repeats})
    assert ("draws each image" in found.sentences()[0]) == bool(repeats)
    content = json.loads(json.dumps(dataclasses.asdict(found)))
    assert Forecast.from_json(content, "forecast.json") == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ess", 0.0),
        ("ess", 50.0),
        ("chance", 2.0),
        ("neighbours", 1.5),
        ("source_accuracy", 1.1),
        ("chance", 0),
        ("labels", 0),
        ("passes", -1.0),
        ("repeats", "many"),
        ("neighbours", 1e13),
        ("images_per_parameter", math.inf),
        ("passes", None),
    ],
)
def test_a_damaged_file_is_refused(name, value):
    with pytest.raises(InputError, match=rf"`forecast\.{name}` must be"):
        Forecast.from_json(FACTS | {name: value}, "forecast.json")
