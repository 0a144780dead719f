"""The confusion matrix of BBSE, and how well it determines the target prior.

Classes that a model takes for each other have columns that are alike: any
split of their joint share explains the predictions equally well. All on NumPy
arrays. Shapes use C for the number of source classes and H for the number of
held-out source images.
"""

from collections.abc import Sequence

import numpy as np

from tf_transfer.datl.estimators.non_negative import LeastSquares
from tf_transfer.errors import InputError
from tf_transfer.utils import environment

_SINGULAR = 1e-6  # of the largest singular value; single precision
_RIDGE = 1e-4
_CERTAIN = 2.0  # standard errors
_MANY = 200  # classes; for more, a new matrix in each draw takes minutes


class ConfusionMatrix:
    """The mean prediction of each source class, and its standard error.

    Args:
        num_classes: the number of source classes C.

    Attributes:
        sums: sums of predictions, `[C, C]`; column y is of class y.
        counts: number of images of each class, `[C]`.
    """

    def __init__(self, num_classes: int):
        self.sums = np.zeros((num_classes, num_classes))
        self.counts = np.zeros(num_classes)
        self._squares = np.zeros(num_classes)

    def add(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Adds predictions `[B, C]` of images with these labels `[B]`."""
        order = np.argsort(labels)
        classes, starts = np.unique(labels[order], return_index=True)
        self.sums[:, classes] += np.add.reduceat(
            probabilities[order], starts, axis=0, dtype=np.float64
        ).T
        squares = np.square(probabilities, dtype=np.float64).sum(axis=1)
        np.add.at(self._squares, labels, squares)
        np.add.at(self.counts, labels, 1)

    def joint(self, source_prior: np.ndarray) -> np.ndarray:
        """Returns the matrix that `bbse_prior` takes, `[C, C]`.

        Raises:
            InputError: if a class with a share in P_s has no image.
        """
        missing = np.flatnonzero((self.counts == 0) & (source_prior > 0))
        if missing.size:
            raise InputError(
                "`held_out` must have images of every source class for the "
                "estimator bbse; em does without. Received: no images of "
                f"{name_classes(missing)}"
            )
        totals = self.sums.sum(axis=0)
        return source_prior * np.divide(
            self.sums, totals, out=np.zeros_like(self.sums), where=totals > 0
        )

    def uncertain(self, source_prior: np.ndarray) -> np.ndarray:
        """Returns the classes that it does not tell apart with certainty.

        Where the matrix nearly maps a difference between priors to 0, this
        compares what is left of it with its standard error.

        Returns:
            Class numbers; empty if there are enough held-out images.
        """
        used = np.flatnonzero(source_prior > 0)
        counts = np.maximum(self.counts[used], 1)
        means = self.sums[:, used] / counts
        # Of one image alone: as if it were all or nothing.
        square = np.where(counts > 1, self._squares[used] / counts, 1)
        variance = np.maximum(square - (means**2).sum(axis=0), 0)
        squares, vectors = _eigen(means.T @ means)
        values = np.sqrt(np.maximum(squares, 0))
        error = (variance / np.maximum(counts - 1, 1)) @ vectors**2
        weak = values < np.maximum(
            _CERTAIN * np.sqrt(error), _SINGULAR * values[-1]
        )
        if not weak.any():
            return used[:0]
        share = (vectors[:, weak] ** 2).sum(axis=1)
        return used[share >= share.max() / 4]


class PriorSolver:
    """Solves `confusion @ weights = mean prediction` for P_t.

    Where the confusion matrix is singular, many priors fit. Then it returns
    the one nearest to a given prior, by default P_s. Threads of BLAS are to be
    limited, see `LeastSquares`.

    Args:
        confusion: what `bbse_prior` takes, `[C, C]`.
        source_prior: P_s, `[C]`.
        singular: whether the matrix is singular, if that is known.
    """

    def __init__(
        self,
        confusion: np.ndarray,
        source_prior: np.ndarray,
        singular: bool | None = None,
    ):
        self._prior, self._used = source_prior, source_prior > 0
        self._confusion = np.asarray(confusion, np.float64)
        self._root = np.sqrt(source_prior[self._used])
        self.singular = self._is_singular() if singular is None else singular
        system, self._ridge = self._confusion, 0.0
        if self.singular:
            scaled = system[:, self._used] / self._root
            squares, _ = _eigen(scaled.T @ scaled, vectors=False)
            self._ridge = _RIDGE * np.sqrt(squares[-1])
            identity = self._ridge * np.eye(len(self._root))
            system = np.vstack([scaled, identity])
        self._solver = LeastSquares(system)

    def _is_singular(self) -> bool:
        means = self._confusion[:, self._used] / self._prior[self._used]
        squares, _ = _eigen(means.T @ means, vectors=False)
        return bool(squares[0] <= _SINGULAR**2 * squares[-1])

    def solve(
        self, mean_prediction: np.ndarray, near: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns P_t `[C]` for a mean prediction `[C]`.

        Raises:
            InputError: if the solution is 0.
        """
        if not (self._confusion.T @ mean_prediction > 0).any():
            raise InputError(
                "No source classes explain the mean prediction. Received: "
                f"confusion with a sum of {self._confusion.sum():g}"
            )
        if not self.singular:
            prior = self._solver.solve(mean_prediction) * self._prior
            return prior / prior.sum()
        near = (self._prior if near is None else near)[self._used]
        target = [mean_prediction, self._ridge * near / self._root]
        prior = np.zeros(len(self._prior))
        scaled = self._solver.solve(np.concatenate(target))
        prior[self._used] = scaled * self._root
        return prior / prior.sum()


class Resampled:
    """An estimator of P_t that draws the held-out images anew each time.

    It is for intervals where the confusion matrix is uncertain. What the
    images do not determine at all is drawn at random.

    Args:
        matrix: the confusion matrix of all held-out images.
        rows: predictions of held-out images, `[H, C]`.
        labels: their class numbers, `[H]`.
        source_prior: P_s, `[C]`.
        solver: the `PriorSolver` of all held-out images.
        weights: P_t / P_s of all images, `[C]`.
        seed: of the draws.
    """

    def __init__(
        self, matrix, rows, labels, source_prior, solver, weights, seed=0
    ):
        self._prior, self._singular = source_prior, solver.singular
        self._joint = matrix.joint(source_prior)
        order = np.argsort(labels, kind="stable")
        self._rows = rows[order]
        # Classes that the sample of held-out images lacks stay as they are.
        self._classes, self._starts, self._sizes = np.unique(
            labels[order], return_index=True, return_counts=True
        )
        self._size = np.repeat(self._sizes, self._sizes)
        self._start = np.repeat(self._starts, self._sizes)
        self._totals = self._rows.sum(axis=1, dtype=np.float64)
        self._rng = np.random.default_rng(seed)
        self._solver, self._weights = solver, weights
        drawn_classes = self._joint[:, self._classes]
        self._explained = drawn_classes @ weights[self._classes]

    def __call__(self, means: np.ndarray) -> np.ndarray:
        """Returns P_t for each of some mean predictions, `[R, C]`."""
        drawn = [self._rng.integers(0, self._size) + self._start for _ in means]
        near = [self._near() for _ in means]
        if len(self._prior) > _MANY:
            moved = means + self._errors(drawn)
            solved = environment.in_threads(self._solver.solve, moved, near)
        else:
            solved = environment.in_threads(self._solve, drawn, means, near)
        return np.array(solved)

    def _solve(
        self, drawn: np.ndarray, mean: np.ndarray, near: np.ndarray | None
    ) -> np.ndarray:
        """Returns P_t `[C]`, with the confusion matrix of some rows."""
        matrix = self._drawn(drawn)
        return PriorSolver(matrix, self._prior, self._singular).solve(
            mean, near
        )

    def _near(self) -> np.ndarray | None:
        """Draws the prior that is to be near; None if one solution fits."""
        if not self._singular:
            return None
        used = self._prior > 0
        near = np.zeros_like(self._prior)
        concentration = np.count_nonzero(used) * self._prior[used]
        near[used] = self._rng.dirichlet(concentration)
        return near

    def _drawn(self, drawn: np.ndarray) -> np.ndarray:
        """Returns the confusion matrix of some rows."""
        sums = np.add.reduceat(
            self._rows[drawn], self._starts, axis=0, dtype=np.float64
        ).T
        joint = self._joint.copy()
        scale = self._prior[self._classes] / sums.sum(axis=0)
        joint[:, self._classes] = sums * scale
        return joint

    @environment.one_thread()
    def _errors(self, drawn: Sequence[np.ndarray]) -> np.ndarray:
        """Returns what the matrices of some rows change, `[R, C]`.

        To first order, an error of the matrix is one of the prediction:
        `(joint - drawn joint) @ weights`, which needs no matrix.
        """
        share = self._prior[self._classes] * self._weights[self._classes]
        of_rows = np.empty((len(drawn), len(self._rows)), np.float32)
        for rows, of_row in zip(drawn, of_rows, strict=True):
            totals = np.add.reduceat(self._totals[rows], self._starts)
            of_row[:] = np.repeat(share / totals, self._sizes)
            of_row *= np.bincount(rows, minlength=len(of_row))
        return self._explained - of_rows @ self._rows


@environment.one_thread()
def _eigen(
    matrix: np.ndarray, vectors: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns eigenvalues, ascending, and vectors of a symmetric matrix."""
    if vectors:
        return np.linalg.eigh(matrix)
    return np.linalg.eigvalsh(matrix), None


def name_classes(classes: np.ndarray, most: int = 10) -> str:
    """Returns class numbers in words."""
    names = ", ".join(str(number) for number in classes[:most])
    more = len(classes) - most
    suffix = f" and {more} more" if more > 0 else ""
    return f"class{'es' if len(classes) > 1 else ''} {names}{suffix}"
