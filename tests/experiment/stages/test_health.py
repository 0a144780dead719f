import numpy as np
import pytest

import tf_transfer as tt
from tf_transfer.experiment.stages import health
from tf_transfer.experiment.stages.trainers import L2TLTrainer

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
    chance = np.log(3)
    assert health.trouble(losses, logits, 50, chance) == expected


def test_a_short_training_may_leave_a_model_flat():
    assert health.trouble([1.1, 1.1], LOGITS[[1, 1]], 49, np.log(3)) == ""


def test_two_heads_have_the_losses_of_both():
    """Two classes beside a hundred: a loss of 4 is far from divergence."""
    shape = (8, 8, 1)
    model = tt.L2TL(tt.small_encoder(shape, 4), 100, 2)
    trainer = L2TLTrainer(model, [100])
    assert trainer.chance_loss() == pytest.approx(np.log(100) + np.log(2))
    losses, logits = [3.9, 4.0], LOGITS[:, :2]
    assert health.trouble(losses, logits, 100, trainer.chance_loss()) == ""


def test_each_rate_is_a_third_of_the_one_before():
    rates = health.lower_rates(2.7)
    np.testing.assert_allclose(rates, [2.7, 0.9, 0.3, 0.1])
