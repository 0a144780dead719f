"""Non-negative least squares that stays fast for many unknowns.

SciPy's solver adds one unknown at a time: with 1,000 unknowns it takes half a
second, and an interval needs a hundred solutions. Systems are solved on one
thread: several would wait for each other hundreds of times a system, which
takes minutes on a machine with other work. So callers limit the threads.
"""

import numpy as np

_FEW = 400  # unknowns for which SciPy takes some 0.05 seconds
_MOST_STEPS = 100
_TOLERANCE = 1e-12


class LeastSquares:
    """Finds `x >= 0` that minimise `|matrix x - target|`, for many targets.

    The first solution is where the search for the others begins.

    Args:
        matrix: `[M, K]`.

    Example:

    >>> LeastSquares(np.eye(2)).solve(np.array([3.0, -1.0])).tolist()
    [3.0, 0.0]
    """

    def __init__(self, matrix: np.ndarray):
        self._matrix = np.asarray(matrix, np.float64)
        self._products = self._start = None
        if self._matrix.shape[1] > _FEW:
            self._products = self._matrix.T @ self._matrix

    def solve(self, target: np.ndarray) -> np.ndarray:
        """Returns the solution for a target `[M]`, `[K]` float64."""
        from scipy.optimize import nnls

        solution = None
        if self._products is not None:
            solution = self._exchange(self._matrix.T @ target)
        if solution is None:
            solution, _ = nnls(self._matrix, target)
        return solution

    def _exchange(self, right: np.ndarray) -> np.ndarray | None:
        """Exchanges whole sets of positive unknowns (Kim and Park 2011).

        Returns:
            The solution, or None where the unknowns are not determined or the
            sets do not settle.
        """
        from scipy.linalg import cho_solve

        products, tolerance = self._products, _TOLERANCE * np.abs(right).max()
        positive, factor = self._start or (np.zeros(len(right), bool), None)
        fewest, patience = len(right) + 1, 3
        for _ in range(_MOST_STEPS):
            if factor is None:
                factor = _factor(products[np.ix_(positive, positive)])
            if factor is None:
                return None
            solution = np.zeros_like(right)
            solution[positive] = cho_solve(factor, right[positive])
            gradient = np.einsum("ij,j", products, solution) - right
            wrong = np.where(positive, solution < 0, gradient < -tolerance)
            count = np.count_nonzero(wrong)
            if not count:
                self._start = self._start or (positive, factor)
                return solution
            if count < fewest:
                fewest, patience = count, 3
            elif patience:
                patience -= 1
            else:  # one at a time, which always ends
                wrong[: np.flatnonzero(wrong)[-1]] = False
            positive, factor = positive ^ wrong, None
        return None


def _factor(matrix: np.ndarray) -> tuple | None:
    """Returns the Cholesky factor, None if it is not positive definite."""
    from scipy.linalg import LinAlgError, cho_factor

    try:
        return cho_factor(matrix, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
