"""Intervals of P_t, by drawing the target images anew.

Drawing N rows with replacement is the same as weighing each by how often it is
drawn. So all samples are estimated together, by products of matrices: of the
counts, `[R, N]` for R samples, with the predictions, `[N, C]`.
"""

from collections.abc import Callable

import numpy as np

from tf_transfer.datl.estimators import label_shift
from tf_transfer.utils import environment

_BLOCK = 1024  # rows that are multiplied together
_TOLERANCE = 1e-4  # of a share's change, relative to the largest share
_STEPS = 200
_TOGETHER = 50  # samples in a product of matrices: fewer would take longer
_SPREAD = 0.01  # of the source prior, in the start of EM


def counts(images: int, repeats: int, seed: int = 0) -> np.ndarray:
    """Draws how often each image is in each sample, `[repeats, images]`."""
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, images, images) for _ in range(repeats)]
    return np.array(
        [np.bincount(each, minlength=images) for each in drawn], np.float32
    )


def interval(values: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Returns the percentile bounds of estimates `[R, C]`, `[2, C]`.

    Args:
        values: the estimates of the samples.
        level: share of the samples inside the interval.
    """
    tail = 50 * (1 - level)
    return np.percentile(values, [tail, 100 - tail], axis=0)


@environment.one_thread()
def means(rows: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns the mean of each sample, `[R, C]` float64.

    Args:
        rows: predictions, `[N, C]`.
        drawn: how often each is in a sample, `[R, N]`.

    Example:

    >>> means(np.array([[1.0], [4.0]]), np.array([[2, 0], [1, 1]])).tolist()
    [[1.0], [2.5]]
    """
    total = np.zeros((len(drawn), rows.shape[1]))
    for first in range(0, len(rows), _BLOCK):
        block = slice(first, first + _BLOCK)
        total += drawn[:, block] @ rows[block]
    return total / drawn.sum(axis=1, keepdims=True, dtype=np.float64)


def em_priors(
    rows: np.ndarray,
    drawn: np.ndarray,
    source_prior: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """Estimates P_t of each sample by EM, as `label_shift.em_prior` does.

    It begins at the estimate of all images, and stops where no share moves by
    more than a ten-thousandth of the largest. Fifty samples share a thread.

    Args:
        rows: predictions, `[N, C]`.
        drawn: how often each is in a sample, `[R, N]`.
        source_prior: P_s, `[C]`.
        start: P_t of all images, `[C]`.

    Returns:
        P_t of each sample, `[R, C]`.
    """
    known = source_prior > 0
    likelihood = (rows[:, known] / source_prior[known]).astype(np.float32)
    first = (1 - _SPREAD) * start[known] + _SPREAD * source_prior[known]

    def solve(drawn: np.ndarray) -> np.ndarray:
        return label_shift.maximise(
            likelihood,
            drawn / drawn.sum(axis=1, keepdims=True),
            np.tile(first, (len(drawn), 1)).astype(np.float32),
            _STEPS,
            _TOLERANCE * first.max(),
        )

    parts = np.split(drawn, range(_TOGETHER, len(drawn), _TOGETHER))
    found = np.zeros((len(drawn), len(source_prior)))
    found[:, known] = np.concatenate(environment.in_threads(solve, parts))
    return found


def each(
    solve: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray], np.ndarray]:
    """Makes an estimator of rows `[N, C]` one of mean predictions `[R, C]`."""
    return lambda means: np.array(
        environment.in_threads(lambda mean: solve(mean[None]), means)
    )
