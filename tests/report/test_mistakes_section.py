import numpy as np
import pytest

from tests import helpers
from tf_transfer.experiment.records.results import Predictions
from tf_transfer.report import mistakes_section

LABEL = np.array([0, 0, 1, 1, 1, 2], np.int32)
PREDICTED = np.array([0, 1, 1, 0, 0, 1], np.int32)
PREDICTIONS = Predictions(
    LABEL,
    PREDICTED,
    np.array([0.9, 0.6, 0.8, 0.7, 0.99, 0.5], np.float32),
)


def test_the_most_frequent_confusions_come_first():
    confusions = mistakes_section.frequent(LABEL, PREDICTED, most=2)
    assert confusions == [(1, 0, 2), (0, 1, 1)]
    assert mistakes_section.frequent(LABEL, LABEL, most=2) == []


def test_the_section_shows_counts_and_the_most_confident_mistakes():
    images = helpers.blobs(per_class=2, classes=3)
    names = ["a", "b", "c", "never"]
    content = mistakes_section.section(PREDICTIONS, names, images)
    assert (content["wrong"], content["count"]) == (4, 6)
    assert [row["name"] for row in content["matrix"]] == names
    cells = [[c for c, _ in row["cells"]] for row in content["matrix"]]
    assert cells == [[1, 1, 0, 0], [2, 1, 0, 0], [0, 1, 0, 0], [0] * 4]
    assert content["matrix"][1]["cells"][0] == (2, pytest.approx(2 / 3))
    assert content["confusions"][0] == {
        "true": "b",
        "predicted": "a",
        "count": 2,
        "of": 3,
    }
    worst = content["worst"]
    assert [each["probability"] for each in worst] == pytest.approx(
        [0.99, 0.7, 0.6, 0.5]
    )
    assert (worst[0]["true"], worst[0]["predicted"]) == ("b", "a")
    assert all(each["image"].startswith("data:image/png") for each in worst)


def test_many_classes_have_no_matrix_and_no_data_no_images():
    names = [f"class {c}" for c in range(10_000)]
    content = mistakes_section.section(PREDICTIONS, names, None)
    assert content["matrix"] is None
    assert content["worst"] is None
    assert content["confusions"][0]["true"] == "class 1"
