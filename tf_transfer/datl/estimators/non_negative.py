"""Non-negative least squares that stays fast for many unknowns.

SciPy's solver adds one unknown at a time: with 1,000 unknowns it takes half a
second, and an interval needs a hundred solutions. Systems are solved on one
core: threads would wait for each other hundreds of times a system, which takes
minutes on a machine with other work.
"""

import numpy as np

from tf_transfer.utils import environment

_FEW = 400  # unknowns for which SciPy takes some 0.05 seconds
_MOST_STEPS = 100
_TOLERANCE = 1e-12


class LeastSquares:
    """Finds `x >= 0` that minimise `|matrix x - target|`, for many targets.

    Args:
        matrix: `[M, K]`.
        start: a solution of a similar problem, `[K]`, which saves time.

    Example:

    >>> LeastSquares(np.eye(2)).solve(np.array([3.0, -1.0])).tolist()
    [3.0, 0.0]
    """

    def __init__(self, matrix: np.ndarray, start: np.ndarray | None = None):
        self._matrix = np.asarray(matrix, np.float64)
        self._products = None
        if self._matrix.shape[1] > _FEW:
            self._products = self._matrix.T @ self._matrix
        self.start = start

    @environment.one_thread()
    def solve(self, target: np.ndarray) -> np.ndarray:
        """Returns the solution for a target `[M]`, `[K]` float64."""
        from scipy.optimize import nnls

        solution = None
        if self._products is not None:
            solution = self._exchange(self._matrix.T @ target)
        if solution is None:
            solution, _ = nnls(self._matrix, target)
        self.start = solution
        return solution

    def _exchange(self, right: np.ndarray) -> np.ndarray | None:
        """Exchanges whole sets of positive unknowns (Kim and Park 2011).

        Returns:
            The solution, or None where the unknowns are not determined or the
            sets do not settle.
        """
        products, tolerance = self._products, _TOLERANCE * np.abs(right).max()
        start = np.zeros_like(right) if self.start is None else self.start
        positive = start > 0
        fewest, patience = len(right) + 1, 3
        for _ in range(_MOST_STEPS):
            solution = np.zeros_like(right)
            solution[positive] = _solve(
                products[np.ix_(positive, positive)], right[positive]
            )
            if not np.isfinite(solution).all():
                return None
            gradient = np.einsum("ij,j", products, solution) - right
            wrong = np.where(positive, solution < 0, gradient < -tolerance)
            count = np.count_nonzero(wrong)
            if not count:
                return solution
            if count < fewest:
                fewest, patience = count, 3
            elif patience:
                patience -= 1
            else:  # one at a time, which always ends
                wrong[: np.flatnonzero(wrong)[-1]] = False
            positive ^= wrong
        return None


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solves a system `[K, K]`; NaN if it is not positive definite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor = cho_factor(matrix, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return np.full_like(right, np.nan)
    return cho_solve(factor, right, check_finite=False)
