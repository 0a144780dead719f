import numpy as np
import pytest

from tf_transfer import diagnostics, weights


def test_effective_sample_size_by_hand():
    prior = np.full(2, 0.5)
    assert diagnostics.effective_sample_size(np.ones(2), prior) == 1
    assert diagnostics.effective_sample_size(
        np.array([2.0, 0.0]), prior
    ) == pytest.approx(0.5)


def test_bootstrap_interval_covers_and_repeats():
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 500)
    low, high = diagnostics.bootstrap_interval(rows, weights.mean_prior)
    again = diagnostics.bootstrap_interval(rows, weights.mean_prior)
    assert np.all((low < rows.mean(0)) & (rows.mean(0) < high))
    np.testing.assert_array_equal(again, [low, high])


def test_classes_without_examples_are_neither_top_nor_bottom():
    rows = [
        {"weight": weight, "source_prior": share}
        for weight, share in ((4, 0.2), (1, 0.2), (3, 0.3), (2, 0.3), (0, 0))
    ]
    large, small = diagnostics.top_and_bottom(rows, most=2)
    assert [row["weight"] for row in large] == [4, 3]
    assert [row["weight"] for row in small] == [1, 2]


def test_diagnose_warns_of_a_small_sample():
    prior = np.full(20, 0.05)
    target = np.r_[1.0, np.zeros(19)]
    found = diagnostics.diagnose(
        weights.importance_weights(target, prior), target, prior, clip=10
    )
    assert found.ess == pytest.approx(0.05)
    assert found.largest == pytest.approx(20)
    assert found.clipped == pytest.approx(0.5)
    assert found.entropy == 0
    assert "repeat few examples" in found.advice
    equal = diagnostics.diagnose(np.ones(20), prior, prior)
    assert equal.advice == ""
