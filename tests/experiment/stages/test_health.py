import numpy as np
import pytest

from tf_transfer.experiment.stages import health

LOGITS = np.array([[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 3.0]])


@pytest.mark.parametrize(
    ("losses", "logits", "expected"),
    [
        ([1.1, 0.4], LOGITS, ""),
        ([3.0, 2.5], LOGITS, ""),  # it started high
        ([1.1, 2.5], LOGITS, "has diverged"),
        ([1.1, np.nan], LOGITS, "has diverged"),
        ([1.1, 1.0], np.full((3, 3), np.inf), "has diverged"),
        ([1.1, 1.1], LOGITS[[1, 1, 1]], "gives all images the same outputs"),
        # Only the differences of logits count.
        (
            [1.1, 1.1],
            LOGITS[[1, 1, 1]] + [[1], [20], [3]],
            "gives all images the same outputs",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_is_wrong_is_said(losses, logits, expected):
    assert health.trouble(losses, logits, steps=50) == expected


def test_a_short_training_may_leave_a_model_flat():
    assert health.trouble([1.1, 1.1], LOGITS[[1, 1]], steps=49) == ""


def test_each_rate_is_a_third_of_the_one_before():
    rates = health.lower_rates(2.7)
    np.testing.assert_allclose(rates, [2.7, 0.9, 0.3, 0.1])
