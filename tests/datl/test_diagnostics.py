import numpy as np
import pytest

from tf_transfer.datl import diagnostics, shaping


def test_effective_sample_size_by_hand():
    prior = np.full(2, 0.5)
    assert diagnostics.effective_sample_size(np.ones(2), prior) == 1
    assert diagnostics.effective_sample_size(
        np.array([2.0, 0.0]), prior
    ) == pytest.approx(0.5)
    # 2 ** 2 / (16 / 3 + 2 / 3).
    assert diagnostics.effective_sample_size(
        np.array([4.0, 1.0]), np.array([1 / 3, 2 / 3])
    ) == pytest.approx(2 / 3)


def test_diagnose_warns_of_a_small_sample():
    prior = np.full(20, 0.05)
    target = np.r_[1.0, np.zeros(19)]
    summary = diagnostics.diagnose(
        shaping.importance_weights(target, prior), target, prior, clip=10
    )
    assert summary.ess == pytest.approx(0.05)
    assert summary.largest == pytest.approx(20)
    assert summary.clipped == pytest.approx(0.5)
    assert summary.entropy == 0
    assert "repeat few examples" in summary.advice
    assert summary.repeats is None
    equal = diagnostics.diagnose(np.ones(20), prior, prior)
    assert equal.advice == ""


@pytest.mark.parametrize(
    ("passes", "repeats", "advised"),
    [(0.1, 2, False), (0.2, 4, False), (0.3, 6, True)],
)
def test_what_a_small_sample_means_depends_on_the_budget(
    passes, repeats, advised
):
    prior = np.full(20, 0.05)
    weights = np.r_[20.0, np.zeros(19)]
    summary = diagnostics.diagnose(
        weights, weights * prior, prior, passes=passes
    )
    assert summary.repeats == pytest.approx(repeats)
    assert bool(summary.advice) == advised
    # A whole source that is passed over often is another matter.
    equal = diagnostics.diagnose(np.ones(20), prior, prior, passes=9.0)
    assert equal.repeats == pytest.approx(9)
    assert equal.advice == ""
    if advised:
        assert "few examples, 6 times each. Limit" in summary.advice


def test_the_share_clipped_is_of_tempered_weights_by_hand():
    target, prior = np.array([0.8, 0.2, 0.0]), np.array([0.2, 0.8, 0.0])
    summary = diagnostics.diagnose(
        np.ones(3), target, prior, clip=1.5, temper=0.5
    )
    # Weights 2 and .5: (2 - 1.5) * .2 of 2 * .2 + .5 * .8.
    assert summary.clipped == pytest.approx(0.1 / 0.8)


def test_entropy_is_in_nats_and_effective_classes_by_hand():
    half = np.full(2, 0.5)
    summary = diagnostics.diagnose(np.ones(2), half, half)
    assert summary.entropy == pytest.approx(np.log(2))
    assert diagnostics.effective_classes(half) == pytest.approx(2)
    uneven = np.array([0.5, 0.25, 0.25])
    assert diagnostics.effective_classes(uneven) == pytest.approx(8 / 3)


def test_weight_interval_is_in_proportion_and_holds_the_weight():
    low, high = diagnostics.weight_interval(
        weight=np.array([3.0, 1.0, 2.0, 2.0]),
        target_prior=np.array([0.2, 0.0, 0.5, 0.5]),
        low=np.array([0.1, 0.0, 0.6, 0.2]),
        high=np.array([0.4, 0.3, 0.7, 0.4]),
    )
    np.testing.assert_allclose(low, [1.5, 1, 2, 0.8])
    np.testing.assert_allclose(high, [6, 1, 2.8, 2])
