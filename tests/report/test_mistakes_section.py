import numpy as np
import pytest

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.experiment import metrics
from tf_transfer.report import mistakes_section

LABEL = np.array([0, 0, 1, 1, 1, 2], np.int32)
PREDICTED = np.array([0, 1, 1, 0, 0, 1], np.int32)
SAID = {
    "label": LABEL,
    "predicted": PREDICTED,
    "probability": np.array([0.9, 0.6, 0.8, 0.7, 0.99, 0.5], np.float32),
}


def test_the_most_frequent_confusions_come_first():
    found = mistakes_section.frequent(LABEL, PREDICTED, most=2)
    assert found == [(1, 0, 2), (0, 1, 1)]
    assert mistakes_section.frequent(LABEL, LABEL, most=2) == []


def test_the_section_shows_counts_and_the_surest_mistakes():
    images = helpers.blobs(per_class=2, classes=3)
    names = ["a", "b", "c", "never"]
    found = mistakes_section.section(SAID, names, images)
    assert (found["wrong"], found["count"]) == (4, 6)
    assert [row["name"] for row in found["matrix"]] == names
    cells = [[c for c, _ in row["cells"]] for row in found["matrix"]]
    assert cells == [[1, 1, 0, 0], [2, 1, 0, 0], [0, 1, 0, 0], [0] * 4]
    assert found["matrix"][1]["cells"][0] == (2, pytest.approx(2 / 3))
    assert found["confusions"][0] == {
        "true": "b",
        "taken": "a",
        "count": 2,
        "of": 3,
    }
    worst = found["worst"]
    assert [each["probability"] for each in worst] == pytest.approx(
        [0.99, 0.7, 0.6, 0.5]
    )
    assert (worst[0]["true"], worst[0]["taken"]) == ("b", "a")
    assert all(each["image"].startswith("data:image/png") for each in worst)


def test_many_classes_have_no_matrix_and_no_data_no_images():
    names = [f"class {c}" for c in range(10_000)]
    found = mistakes_section.section(SAID, names, None)
    assert found["matrix"] is None
    assert found["worst"] is None
    assert found["confusions"][0]["true"] == "class 1"


def test_reads_what_a_run_keeps(tmp_path):
    (tmp_path / "predictions").mkdir()
    path = tmp_path / "predictions" / "datl-0.npz"
    said = metrics.predictions(np.eye(3), np.array([0, 1, 1]))
    np.savez(path, **said)
    found = mistakes_section.read(tmp_path, "datl", 0)
    for name, values in said.items():
        np.testing.assert_array_equal(found[name], values)
    for content in (b"", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be read\. Received: "):
            mistakes_section.read(tmp_path, "datl", 0)
