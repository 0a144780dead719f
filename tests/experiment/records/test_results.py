import json

import numpy as np
import pytest

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import results
from tf_transfer.experiment.records.results import Predictions, Result, Scores
from tf_transfer.utils.storage.folders import Folder

SCORES = {"accuracy": 0.9, "mean_per_class_accuracy": 0.8, "loss": 0.3}
ENTRY = {
    "method": "l2tl",
    "seed": 3,
    "test": SCORES,
    "validation": SCORES | {"accuracy": 1.0},
    "learning_rate": 0.02,
    "seconds": 60.5,
    "history": {
        "learning": {"loss": [2.0, 1.5], "class_weights": [[1.0, 1.0]] * 3}
    },
    "weights": [0.5, 1.5],
    "scale": 0.4,
    "head": "fresh",
    "versions": {"keras": "3.15.1"},
    "machine": "2 cores, x86_64",
    "weight_area": 0.75,
}
YOUNG = ("weights", "scale", "head", "machine", "weight_area")


def test_scores_by_hand():
    logits = np.log([[0.8, 0.2], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])
    scores = Scores.of(logits, np.array([0, 0, 1, 0]))
    assert scores.accuracy == pytest.approx(0.5)
    assert scores.mean_per_class_accuracy == pytest.approx((2 / 3 + 0) / 2)
    expected = -np.log([0.8, 0.6, 0.3, 0.1]).mean()
    assert scores.loss == pytest.approx(expected)


def test_mean_per_class_accuracy_is_over_the_classes_that_occur():
    predicted = np.eye(3)[[0, 1, 2, 1]]
    scores = Scores.of(predicted, np.array([0, 0, 0, 1]))
    # Recall 1/3 and 1; the precision would be 1 and 1/2.
    assert scores.mean_per_class_accuracy == pytest.approx((1 / 3 + 1) / 2)


def test_predictions_are_the_likeliest_classes_by_hand():
    logits = np.log([[0.8, 0.2], [0.4, 0.6]])
    predictions = Predictions.of(logits + 7, np.array([1, 1]))
    assert predictions.label.tolist() == [1, 1]
    assert predictions.predicted.tolist() == [0, 1]
    np.testing.assert_allclose(predictions.probability, [0.8, 0.6], rtol=1e-6)


def test_a_result_is_written_as_it_was_read():
    assert json.dumps(Result.from_json(ENTRY).to_json()) == json.dumps(ENTRY)


def test_an_older_result_is_written_without_what_it_lacks():
    old = {key: value for key, value in ENTRY.items() if key not in YOUNG}
    old["test"] = {"accuracy": 0.9, "loss": 0.3}
    result = Result.from_json(old)
    assert (result.head, result.test.mean_per_class_accuracy) == (None, None)
    assert json.dumps(result.to_json()) == json.dumps(old)


def test_a_null_in_a_log_is_no_number():
    history = {"joint": {"loss": [2.0, None], "pairs": [[None, 1], [2, 3]]}}
    logs = Result.from_json(ENTRY | {"history": history}).history["joint"]
    np.testing.assert_array_equal(logs["loss"], [2.0, np.nan])
    np.testing.assert_array_equal(logs["pairs"], [[np.nan, 1], [2, 3]])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("method", None, "`result.method` must be a string"),
        ("seed", -1, "`result.seed` must be an integer from 0 to"),
        ("seed", True, "`result.seed` must be an integer"),
        ("test", [], "`result.test` must be an object"),
        ("test", {"loss": 1.0}, "`result.test.accuracy` must be a finite"),
        ("test", SCORES | {"accuracy": "0.9"}, "must be a finite number"),
        ("validation", SCORES | {"loss": np.nan}, "`result.validation.loss`"),
        ("seconds", np.inf, "`result.seconds` must be a finite number"),
        ("learning_rate", None, "`result.learning_rate` must be a finite"),
        ("weights", [1.0, "1"], "`result.weights` must be a list of finite"),
        ("weights", [], "`result.weights` must be a list of finite"),
        ("weight_area", np.nan, "`result.weight_area` must be a finite"),
        ("head", 3, "`result.head` must be a string"),
        ("machine", 3, "`result.machine` must be a string"),
        ("versions", {"keras": 3}, "`result.versions.keras` must be a string"),
        ("history", [], "`result.history` must be an object"),
        ("history", {"joint": 3}, "`result.history.joint` must be an object"),
        (
            "history",
            {"joint": {"loss": []}},
            "`result.history.joint.loss` must",
        ),
        ("history", {"joint": {"loss": ["1"]}}, "must be a list of numbers"),
        ("history", {"joint": {"loss": [10**400]}}, "a list of numbers"),
        ("history", {"joint": {"w": [[-(10**400)]]}}, "a list of numbers"),
        ("history", {"joint": {"w": [[1.0], [1.0, 2.0]]}}, "equally long"),
    ],
)
def test_refuses_a_field_that_does_not_fit(key, value, message):
    with pytest.raises(InputError, match=rf"{message}.*Received: ") as refused:
        Result.from_json(ENTRY | {key: value})
    assert "Traceback" not in str(refused.value)


def test_refuses_a_field_that_is_absent():
    for key in ENTRY.keys() - {*YOUNG}:
        entry = {name: value for name, value in ENTRY.items() if name != key}
        with pytest.raises(InputError, match=rf"`result\.{key}` must be"):
            Result.from_json(entry)


def test_reads_the_results_of_a_run(tmp_path):
    assert results.read(Folder(tmp_path)) == []
    path = tmp_path / "results.json"
    path.write_text(json.dumps([ENTRY, ENTRY | {"seed": 4}]))
    assert [result.seed for result in results.read(Folder(tmp_path))] == [3, 4]
    path.write_text(json.dumps([ENTRY, 3]))
    with pytest.raises(
        InputError, match=r"`results\[1\]` must be an object.*3 in .*results"
    ):
        results.read(Folder(tmp_path))


PREDICTIONS = {
    "label": np.array([0, 1, 1], np.int32),
    "predicted": np.array([0, 1, 0], np.int32),
    "probability": np.array([0.9, 1.0, 0.0], np.float32),
}


def test_predictions_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "datl-0.npz"
    Predictions(**PREDICTIONS).write(path)
    again = Predictions.read(Folder(tmp_path), path.name, 2, images=3)
    for name, values in PREDICTIONS.items():
        np.testing.assert_array_equal(getattr(again, name), values)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"[]"])
def test_refuses_a_file_that_holds_no_predictions(tmp_path, content):
    path = tmp_path / "datl-0.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read\. Received: "):
        Predictions.read(Folder(tmp_path), path.name, classes=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": np.array([0, 1])}, "must have one length"),
        ({"label": np.array(0)}, "must have one length"),
        ({name: np.zeros(0, int) for name in PREDICTIONS}, "one length"),
        ({"label": np.array([0, 1, 2])}, r"`label` must.* in \[0, 2\)"),
        ({"label": np.array([0.0, 1, 1])}, r"`label` must hold integers"),
        ({"predicted": np.array([0, -1, 1])}, r"`predicted` must hold"),
        ({"predicted": np.array(["a", "b", "c"])}, r"`predicted` must hold"),
        ({"probability": np.array([0.5, 1.5, 0])}, "`probability` must hold"),
        ({"probability": np.array([0.5, np.nan, 0])}, "`probability` must"),
        ({"probability": np.array([0, 1, 1])}, "`probability` must hold"),
    ],
)
def test_refuses_predictions_that_do_not_fit(tmp_path, changes, message):
    path = tmp_path / "datl-0.npz"
    np.savez(path, **PREDICTIONS | changes)
    with pytest.raises(InputError, match=rf"{message}.*Received: .*datl-0"):
        Predictions.read(Folder(tmp_path), path.name, classes=2)


def test_refuses_predictions_of_other_images(tmp_path):
    path = tmp_path / "datl-0.npz"
    Predictions(**PREDICTIONS).write(path)
    with pytest.raises(InputError, match=r"must have length 4.*\(3,\)"):
        Predictions.read(Folder(tmp_path), path.name, classes=2, images=4)


def test_the_made_up_results_of_tests_are_as_read():
    result = helpers.result("datl", weights=[1.0])
    assert Result.from_json(result.to_json()) == result
