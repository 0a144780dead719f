"""Importance weights of the source classes: estimation and shaping.

Pure NumPy. Shapes use C for the number of source classes and N for the number
of target images. Weights are `P_t(y) / P_s(y)` (Ngiam et al. 2018, section 3)
and have mean 1 under the source prior.
"""

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils.checks import check_prior


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Returns class probabilities `[N, C]` of logits softened by temperature.

    A temperature above 1 flattens the predictions; Ngiam et al. use 2.0. The
    precision is that of the logits, single or double.
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

    Use it when the target's labels are among the source's and the
    probabilities are calibrated; the plain mean is biased towards P_s then.

    Args:
        probabilities: predictions for the target images, `[N, C]`.
        source_prior: P_s, `[C]`.
        iterations: the most EM steps.
        tolerance: stop once no share moves by more than this.

    Returns:
        P_t, `[C]`, sum 1.

    Raises:
        InputError: for a prior or probabilities that are none.

    Example:

    >>> probabilities = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]])
    >>> em_prior(probabilities, [0.5, 0.5]).round(2).tolist()
    [0.81, 0.19]
    """
    source_prior = check_prior(source_prior)
    known = source_prior > 0
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(known):
        raise InputError(
            f"`probabilities` must have shape [N, {len(known)}]. "
            f"Received: shape {probabilities.shape}"
        )
    if not (len(probabilities) and np.isfinite(probabilities).all()):
        raise InputError(
            "`probabilities` must be finite, and those of one image at least. "
            f"Received: shape {probabilities.shape}"
        )
    likelihood = probabilities[:, known] / source_prior[known]
    if not ((likelihood >= 0).all() and likelihood.any(axis=1).all()):
        raise InputError(
            "`probabilities` must not be negative (logits are), nor 0 for "
            "all classes that have examples. "
            f"Received: smallest {probabilities.min(initial=0.0):g}"
        )
    prior = source_prior[known].copy()
    for _ in range(iterations):
        # The mean posterior, without making those of all rows.
        evidence = likelihood @ prior
        new = prior * (1 / evidence @ likelihood) / len(likelihood)
        moved = np.abs(new - prior).max()
        prior = new
        if moved < tolerance:
            break
    result = np.zeros_like(source_prior)
    result[known] = prior
    return result


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
        P_t, `[C]`, sum 1: non-negative least squares of
        `confusion @ weights = mean_prediction`, times P_s.

    Raises:
        InputError: for a prior that is none, or figures that do not fit.

    Example:

    >>> confusion = np.array([[0.45, 0.05], [0.05, 0.45]])
    >>> bbse_prior([0.7, 0.3], confusion, [0.5, 0.5]).round(2).tolist()
    [0.75, 0.25]
    """
    from scipy.optimize import nnls

    source_prior = check_prior(source_prior)
    count = len(source_prior)
    shapes = np.shape(confusion), np.shape(mean_prediction)
    if shapes != ((count, count), (count,)):
        raise InputError(
            f"`confusion` must have shape [{count}, {count}] and "
            f"`mean_prediction` [{count}]. Received: shapes {shapes[0]} and "
            f"{shapes[1]}"
        )
    ratio, _ = nnls(confusion, mean_prediction)
    prior = ratio * source_prior
    if not prior.any():
        raise InputError(
            "No source classes explain the mean prediction. "
            f"Received: confusion with a sum of {np.sum(confusion):g}"
        )
    return prior / prior.sum()


def calibration_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature with the least negative log-likelihood.

    Temperature scaling (Guo et al. 2017) on held-out source images.

    Args:
        logits: `[N, C]`.
        labels: `[N]` integers.
    """
    from scipy.optimize import minimize_scalar

    logits = np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits, np.exp(log_temperature))
        return -np.log(chosen[np.arange(len(labels)), labels] + 1e-12).mean()

    found = minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    return float(np.exp(found.x))
