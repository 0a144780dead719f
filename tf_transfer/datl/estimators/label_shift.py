"""Estimators of the target prior P_t from a source model's predictions.

Three estimators: the mean prediction, maximum likelihood (EM) and the
confusion matrix (BBSE). All work on probabilities, which `softmax` and
`calibration_temperature` make of logits. All take and return NumPy arrays.
Shapes use C for the number of source classes and N for the number of images.
"""

import warnings

import numpy as np

from tf_transfer.datl.estimators.confusion import PriorSolver
from tf_transfer.errors import InputError
from tf_transfer.utils import checks, environment

_LOG_RANGE = 3.0
_LEAST = np.float32(1e-30)  # likelihood of a row


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Returns class probabilities `[N, C]` of logits `[N, C]`.

    A temperature above 1 flattens the predictions; Ngiam et al. use 2.0. The
    result has the precision of the logits, single or double.
    """
    if not temperature > 0:
        raise InputError(
            f"`temperature` must be positive. Received: {temperature=}"
        )
    logits = np.asarray(logits)
    precision = np.result_type(logits, np.float32)
    scaled = np.divide(logits, temperature, dtype=precision)
    scaled -= scaled.max(axis=-1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=-1, keepdims=True)
    return scaled


def mean_prior(probabilities: np.ndarray) -> np.ndarray:
    """Estimates P_t as the mean prediction (Ngiam et al. 2018, section 3).

    Args:
        probabilities: predictions for the target images, `[N, C]`.

    Returns:
        P_t, `[C]`, sum 1.
    """
    return np.asarray(probabilities, np.float64).mean(axis=0)


def em_prior(
    probabilities: np.ndarray,
    source_prior: np.ndarray,
    iterations: int = 200,
    tolerance: float = 1e-7,
) -> np.ndarray:
    """Estimates P_t by maximum likelihood (Saerens et al. 2002, section 2).

    Use it when the target's classes are among the source's and the
    probabilities are calibrated. In that case the mean prediction is biased
    towards P_s.

    Args:
        probabilities: predictions for the target images, `[N, C]`.
        source_prior: P_s, `[C]`.
        iterations: the most EM steps.
        tolerance: stop once no share moves by more than this.

    Returns:
        P_t, `[C]`, sum 1.

    Raises:
        InputError: if `source_prior` is not a probability vector, or the
            probabilities are empty, negative, not finite or of another shape.

    Example:

    >>> probabilities = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]])
    >>> em_prior(probabilities, [0.5, 0.5]).round(2).tolist()
    [0.81, 0.19]
    """
    source_prior = checks.check_prior(source_prior)
    nonempty = source_prior > 0
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(nonempty):
        raise InputError(
            f"`probabilities` must have shape [N, {len(nonempty)}]. "
            f"Received: shape {probabilities.shape}"
        )
    if not (len(probabilities) and np.isfinite(probabilities).all()):
        raise InputError(
            "`probabilities` must be finite, with at least one row. "
            f"Received: shape {probabilities.shape}"
        )
    likelihood = probabilities[:, nonempty] / source_prior[nonempty]
    if not ((likelihood >= 0).all() and likelihood.any(axis=1).all()):
        raise InputError(
            "`probabilities` must not be negative (are they logits?), nor 0 "
            "for all classes with examples. "
            f"Received: smallest {probabilities.min(initial=0.0):g}"
        )
    with environment.one_thread():
        (prior,) = maximise(
            likelihood,
            np.full((1, len(likelihood)), 1 / len(likelihood)),
            source_prior[None, nonempty],
            iterations,
            tolerance,
        )
    result = np.zeros_like(source_prior)
    result[nonempty] = prior
    return result


def maximise(
    likelihood: np.ndarray,
    shares: np.ndarray,
    priors: np.ndarray,
    iterations: int,
    tolerance: float,
) -> np.ndarray:
    """Maximises the likelihood of several weighted samples by EM.

    Each second step is extrapolated (SQUAREM, Varadhan and Roland 2008), which
    is undone where the likelihood falls. Near the end, plain EM would creep.

    Args:
        likelihood: of the rows, up to factors, `[N, C]`.
        shares: of the rows in each sample, `[R, N]`, sums 1.
        priors: where to start, `[R, C]`.
        iterations: the most EM steps.
        tolerance: stop once no share moves by more than this.

    Returns:
        The priors, `[R, C]`.
    """

    def step(priors):
        """Returns the next priors, and the likelihood of the present ones."""
        # The mean posterior, without an array of the posteriors of all rows.
        evidence = np.maximum(priors @ likelihood.T, _LEAST)
        updated = priors * ((shares / evidence) @ likelihood)
        return updated, (shares * np.log(evidence)).sum(axis=1)

    found, open_samples = np.array(priors), np.arange(len(priors))
    farthest = np.ones((len(priors), 1))  # lengths of extrapolations
    for _ in range(0, iterations, 3):
        one, before = step(priors)
        two, _ = step(one)
        ahead, length = _extrapolated(priors, one, two, farthest)
        after, likely = step(ahead)
        better = (likely >= before)[:, None]
        after = np.where(better, after, two)
        farthest = np.where(length < farthest, farthest, 4 * farthest)
        farthest = np.where(better, farthest, np.maximum(length / 4, 1))
        moves = np.abs(after - priors).max(axis=1) >= tolerance
        found[open_samples], priors = after, after[moves]
        if not moves.any():
            break
        open_samples, farthest = open_samples[moves], farthest[moves]
        shares = shares[moves]
    return found / found.sum(axis=1, keepdims=True)


def _extrapolated(
    zero: np.ndarray, one: np.ndarray, two: np.ndarray, farthest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns where two steps of EM lead to, as priors `[R, C]`.

    The second value are the lengths of the extrapolations, `[R, 1]`.
    """
    first, bend = one - zero, two - 2 * one + zero
    size = np.linalg.norm(bend, axis=1)
    length = np.linalg.norm(first, axis=1) / np.maximum(size, _LEAST)
    length = np.clip(length[:, None], 1, farthest).astype(zero.dtype)
    ahead = np.maximum(zero + 2 * length * first + length**2 * bend, _LEAST)
    return ahead / ahead.sum(axis=1, keepdims=True), length


def bbse_prior(
    mean_prediction: np.ndarray,
    confusion: np.ndarray,
    source_prior: np.ndarray,
) -> np.ndarray:
    """Estimates P_t from the confusion matrix (Lipton et al. 2018, BBSE).

    Args:
        mean_prediction: mean prediction over the target images, `[C]`.
        confusion: `[C, C]`; column y is the mean prediction over held-out
            source images of class y, times P_s(y).
        source_prior: P_s, `[C]`.

    Returns:
        P_t, `[C]`, sum 1: the solution of `confusion @ weights =
        mean_prediction` by non-negative least squares, times P_s. Where
        the confusion matrix is singular, it is the solution nearest to P_s.

    Raises:
        InputError: if `source_prior` is not a probability vector, the shapes
            do not match, a number is not finite, or the solution is 0.

    Example:

    >>> confusion = np.array([[0.45, 0.05], [0.05, 0.45]])
    >>> bbse_prior([0.7, 0.3], confusion, [0.5, 0.5]).round(2).tolist()
    [0.75, 0.25]
    """
    source_prior = checks.check_prior(source_prior)
    count = len(source_prior)
    shapes = np.shape(confusion), np.shape(mean_prediction)
    if shapes != ((count, count), (count,)):
        raise InputError(
            f"`confusion` must have shape [{count}, {count}] and "
            f"`mean_prediction` [{count}]. Received: shapes {shapes[0]} and "
            f"{shapes[1]}"
        )
    if not (
        np.isfinite(confusion).all() and np.isfinite(mean_prediction).all()
    ):
        raise InputError(
            "`confusion` and `mean_prediction` must be finite. "
            f"Received: sums {np.sum(confusion):g} and "
            f"{np.sum(mean_prediction):g}"
        )
    with environment.one_thread():
        return PriorSolver(confusion, source_prior).solve(mean_prediction)


def calibration_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature that minimises the negative log-likelihood.

    This is temperature scaling (Guo et al. 2017) on held-out source images.
    It searches from e^-3 to e^3, and warns if the best is at an end: then the
    predictions are all right, or do not depend on the images.

    Args:
        logits: of the held-out images, `[N, C]`.
        labels: their class numbers, `[N]` integers.
    """
    from scipy.optimize import minimize_scalar

    logits = np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        probabilities = softmax(logits, np.exp(log_temperature))
        of_labels = probabilities[np.arange(len(labels)), labels]
        return -np.log(of_labels + 1e-12).mean()

    optimum = minimize_scalar(
        loss, bounds=(-_LOG_RANGE, _LOG_RANGE), method="bounded"
    )
    temperature = float(np.exp(optimum.x))
    ends = min(loss(-_LOG_RANGE), loss(_LOG_RANGE))
    if ends <= optimum.fun + 1e-6:
        warnings.warn(
            "The calibration found no best temperature, only the end of its "
            "search; the `held_out` images may be too few, training images "
            f"of the model, or not predicted at all: {temperature=:.3g}",
            stacklevel=2,
        )
    return temperature
