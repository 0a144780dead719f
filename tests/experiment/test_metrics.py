import numpy as np
import pytest

from tf_transfer.experiment import metrics


def test_classification_metrics_by_hand():
    logits = np.log([[0.8, 0.2], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])
    found = metrics.classification_metrics(logits, np.array([0, 0, 1, 0]))
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["mean_per_class_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    expected = -np.log([0.8, 0.6, 0.3, 0.1]).mean()
    assert found["loss"] == pytest.approx(expected)


def test_mean_per_class_accuracy_is_over_the_classes_that_occur():
    predicted = np.eye(3)[[0, 1, 2, 1]]
    found = metrics.classification_metrics(predicted, np.array([0, 0, 0, 1]))
    # Recall 1/3 and 1; the precision would be 1 and 1/2.
    assert found["mean_per_class_accuracy"] == pytest.approx((1 / 3 + 1) / 2)


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
    found = metrics.roc_area(np.array(relevant, bool), scores)
    assert found == pytest.approx(area)


def test_mean_interval_by_hand():
    mean, half = metrics.mean_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert metrics.mean_interval([1.0]) == (1.0, float("inf"))


def test_predictions_are_the_likeliest_classes_by_hand():
    logits = np.log([[0.8, 0.2], [0.4, 0.6]])
    said = metrics.predictions(logits + 7, np.array([1, 1]))
    assert said["label"].tolist() == [1, 1]
    assert said["predicted"].tolist() == [0, 1]
    np.testing.assert_allclose(said["probability"], [0.8, 0.6], rtol=1e-6)
