import numpy as np
import pytest
from scipy.optimize import nnls

from tf_transfer.datl.estimators import non_negative


@pytest.mark.parametrize("unknowns", [3, 401, 450])
def test_it_is_the_solution_of_scipy(unknowns):
    rng = np.random.default_rng(0)
    matrix = np.eye(unknowns) + rng.random((unknowns, unknowns)) / unknowns
    target = rng.random(unknowns) - 0.3
    expected, _ = nnls(matrix, target)
    assert 0 < np.count_nonzero(expected) < unknowns
    solution = non_negative.LeastSquares(matrix).solve(target)
    np.testing.assert_allclose(solution, expected, atol=1e-12)
    for start in (expected, np.ones(unknowns), np.zeros(unknowns)):
        warm = non_negative.LeastSquares(matrix, start).solve(target)
        np.testing.assert_allclose(warm, expected, atol=1e-12)


def test_few_unknowns_take_the_steps_of_scipy():
    rng = np.random.default_rng(1)
    matrix, target = rng.random((10, 10)), rng.random(10)
    np.testing.assert_array_equal(
        non_negative.LeastSquares(matrix).solve(target), nnls(matrix, target)[0]
    )


def test_unknowns_that_are_not_determined_are_solved_by_scipy():
    rng = np.random.default_rng(2)
    half = rng.random((440, 220))
    matrix = np.concatenate([half, half], axis=1)
    target = half @ rng.random(220)
    solution = non_negative.LeastSquares(matrix).solve(target)
    assert solution.min() >= 0
    np.testing.assert_allclose(matrix @ solution, target, atol=1e-8)


def test_systems_are_solved_without_threads_of_blas():
    matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
    solution = non_negative._solve(matrix, np.array([6.0, 7.0]))
    np.testing.assert_allclose(solution, [1.0, 2.0])
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert np.isnan(non_negative._solve(indefinite, np.ones(2))).any()
    assert len(non_negative._solve(np.zeros((0, 0)), np.zeros(0))) == 0
