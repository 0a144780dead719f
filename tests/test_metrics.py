import numpy as np
import pytest

from tf_transfer import metrics


def test_classification_metrics_by_hand():
    logits = np.log([[0.8, 0.2], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])
    found = metrics.classification_metrics(logits, np.array([0, 0, 1, 0]))
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["mean_per_class_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    expected = -np.log([0.8, 0.6, 0.3, 0.1]).mean()
    assert found["loss"] == pytest.approx(expected)


def test_mean_interval_by_hand():
    mean, half = metrics.mean_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert metrics.mean_interval([1.0]) == (1.0, float("inf"))
