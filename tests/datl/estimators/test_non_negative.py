import numpy as np
import pytest
from scipy.linalg import cho_solve
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
    for first in (target, np.ones(unknowns), -target):
        solver = non_negative.LeastSquares(matrix)
        solver.solve(first)
        for _ in range(2):
            solution = solver.solve(target)
            np.testing.assert_allclose(solution, expected, atol=1e-12)


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


def test_a_system_has_a_factor_if_it_is_positive_definite():
    matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
    factor = non_negative._factor(matrix)
    solution = cho_solve(factor, np.array([6.0, 7.0]))
    np.testing.assert_allclose(solution, [1.0, 2.0])
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert non_negative._factor(indefinite) is None
    empty = non_negative._factor(np.zeros((0, 0)))
    assert len(cho_solve(empty, np.zeros(0))) == 0


def test_the_first_solution_is_where_the_others_begin(monkeypatch):
    rng = np.random.default_rng(3)
    matrix = np.eye(410) + rng.random((410, 410)) / 410
    target = rng.random(410) - 0.3
    factored = []

    def factor(products):
        factored.append(len(products))
        return whole(products)

    whole = non_negative._factor
    monkeypatch.setattr(non_negative, "_factor", factor)
    solver = non_negative.LeastSquares(matrix)
    first = solver.solve(target)
    assert len(factored) > 1
    factored.clear()
    np.testing.assert_array_equal(solver.solve(target), first)
    assert not factored
    solver.solve(-target)
    assert factored
    factored.clear()
    solver.solve(target)
    assert not factored
