import numpy as np
import pytest

from tf_transfer.datl.estimators import bootstrap, label_shift
from tf_transfer.utils import environment

PRIOR = np.array([0.4, 0.3, 0.2, 0.1, 0.0])


def predictions(count=500, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(5) / 2, count)


def test_samples_are_weighed_as_if_their_rows_were_drawn():
    rows = predictions()
    drawn = bootstrap.counts(len(rows), repeats=7)
    np.testing.assert_array_equal(drawn.sum(axis=1), len(rows))
    expected = [
        np.repeat(rows, count.astype(int), axis=0).mean(axis=0)
        for count in drawn
    ]
    np.testing.assert_allclose(bootstrap.means(rows, drawn), expected)


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    rows = np.random.default_rng(0).normal(size=(400, 1))
    drawn = bootstrap.counts(len(rows), repeats=1000)
    low, high = bootstrap.interval(bootstrap.means(rows, drawn))
    expected = 2 * 1.96 * rows.std() / np.sqrt(400)
    assert high - low == pytest.approx(expected, rel=0.08)


def test_the_seed_decides():
    first, same, other = (bootstrap.counts(50, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_em_of_all_samples_together_is_that_of_each_alone():
    rows = predictions()
    drawn = bootstrap.counts(len(rows), repeats=5)
    start = label_shift.em_prior(rows, PRIOR)
    found = bootstrap.em_priors(rows, drawn, PRIOR, start)
    for priors, count in zip(found, drawn, strict=True):
        alone = label_shift.em_prior(
            np.repeat(rows, count.astype(int), axis=0), PRIOR, 20_000, 1e-12
        )
        np.testing.assert_allclose(priors, alone, atol=2e-3)
        assert priors[4] == 0
        assert priors.sum() == pytest.approx(1)


def test_rare_classes_get_their_shares_where_em_is_slow():
    """As plain EM that has converged finds them."""
    rng = np.random.default_rng(0)
    labels = rng.choice(200, 3000, p=rng.dirichlet(np.ones(200)))
    logits = rng.normal(size=(3000, 200)).astype(np.float32)
    logits[np.arange(3000), labels] += 3
    rows, prior = label_shift.softmax(logits), np.full(200, 1 / 200)
    drawn = bootstrap.counts(len(rows), repeats=3)
    start = label_shift.em_prior(rows, prior)
    found = bootstrap.em_priors(rows, drawn, prior, start)
    for priors, count in zip(found, drawn, strict=True):
        expected = prior.astype(np.float32)
        for _ in range(3000):
            evidence = rows @ expected
            expected *= (count / 3000 / evidence) @ rows
        np.testing.assert_allclose(priors, expected, atol=2e-3)


@pytest.mark.parametrize("processors", [1, 3])
def test_em_does_not_depend_on_the_processors(processors, monkeypatch):
    rows = predictions()
    drawn = bootstrap.counts(len(rows), repeats=120)
    expected = bootstrap.em_priors(rows, drawn, PRIOR, PRIOR)
    monkeypatch.setattr(environment, "processors", lambda: processors)
    found = bootstrap.em_priors(rows, drawn, PRIOR, PRIOR)
    np.testing.assert_array_equal(found, expected)


def test_an_estimator_of_rows_takes_means():
    solve = bootstrap.each(lambda rows: 2 * rows.mean(axis=0))
    np.testing.assert_array_equal(solve(np.eye(2)), 2 * np.eye(2))
