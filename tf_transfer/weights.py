"""Importance weights of the source classes: estimation and shaping.

Pure NumPy. Shapes use C for the number of source classes and N for the number
of target images. Weights are `P_t(y) / P_s(y)` (Ngiam et al. 2018, section 3)
and have mean 1 under the source prior.
"""

import numpy as np

from tf_transfer.errors import InputError


def source_prior(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the share of every class among the source labels.

    Args:
        labels: class numbers, `[N]` integers in `[0, num_classes)`.
        num_classes: the number of source classes C.

    Returns:
        P_s, `[C]` float64, sum 1. A class without examples has share 0.

    Raises:
        InputError: if there are no labels or one is out of range.

    Example:

    >>> source_prior(np.array([0, 0, 1, 1]), 3).tolist()
    [0.5, 0.5, 0.0]
    """
    check_labels(labels, num_classes)
    counts = np.bincount(labels, minlength=num_classes)
    return counts / counts.sum()


def check_labels(labels: np.ndarray, num_classes: int) -> None:
    """Raises InputError unless there are labels, all of them class numbers."""
    labels = np.asarray(labels)
    if labels.size == 0:
        raise InputError("There are no labels. Received: labels=[]")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            "Labels must be integers (class numbers, not one-hot vectors). "
            f"Received: dtype={labels.dtype}, shape={labels.shape}"
        )
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if outside.size:
        raise InputError(
            f"Labels must lie in [0, {num_classes}). "
            f"Received: label {int(outside[0])}"
        )


def check_prior(prior: np.ndarray, num_classes: int | None = None):
    """Returns class shares as `[C]` float64.

    Raises:
        InputError: unless they are `num_classes` shares that sum to 1.
    """
    prior = np.asarray(prior, np.float64)
    fits = prior.ndim == 1 and num_classes in (None, len(prior))
    if not fits or not len(prior):
        wanted = "one entry per class"
        if num_classes is not None:
            wanted = f"{num_classes} entries, one per class"
        raise InputError(
            f"A class prior must have {wanted}. Received: shape {prior.shape}"
        )
    if not (prior >= 0).all() or abs(prior.sum() - 1) > 1e-3:
        raise InputError(
            "A class prior must hold shares that sum to 1, not counts. "
            f"Received: sum {prior.sum():g}, smallest {prior.min():g}"
        )
    return prior


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


def importance_weights(
    target_prior: np.ndarray,
    source_prior: np.ndarray,
    *,
    temper: float = 1.0,
    clip: float | None = None,
    floor: float = 0.0,
    top_k: int | None = None,
    reverse: bool = False,
) -> np.ndarray:
    """Returns `(P_t / P_s) ** temper`, clipped and floored, mean 1 under P_s.

    Args:
        target_prior: P_t, `[C]`.
        source_prior: P_s, `[C]`. A class with share 0 gets weight 0.
        temper: 0 makes the weights equal, 1 keeps them, above 1 sharpens.
        clip: the largest weight before the final normalisation.
        floor: the smallest weight before the final normalisation.
        top_k: keep only the classes with the largest ratio (a specialist);
            with `temper=0` they get equal weights.
        reverse: give the class with the largest weight the smallest, and so
            on: the reversed control of Ngiam et al. 2018.

    Returns:
        Weights, `[C]` float64.

    Raises:
        InputError: for lengths that differ, settings out of range, or
            weights that are all zero.

    Example:

    >>> importance_weights(np.array([.5, .25, .25]), np.full(3, 1 / 3))
    array([1.5 , 0.75, 0.75])
    """
    check_shaping(temper, clip, floor, top_k)
    target_prior = check_prior(target_prior)
    source_prior = check_prior(source_prior, len(target_prior))
    known = source_prior > 0
    ratio = np.divide(
        target_prior,
        source_prior,
        out=np.zeros_like(target_prior),
        where=known,
    )
    bounded = np.clip(ratio**temper, floor, clip) * known
    if top_k is not None and top_k < len(bounded):
        bounded[np.argsort(-ratio, kind="stable")[top_k:]] = 0.0
    if reverse:
        order = np.argsort(bounded, kind="stable")
        order = order[known[order]]
        bounded[order] = bounded[order[::-1]]
    return normalise(bounded, source_prior)


def check_shaping(
    temper: float, clip: float | None, floor: float, top_k: int | None
) -> None:
    """Raises InputError for settings `importance_weights` cannot use."""
    if not temper >= 0:
        raise InputError(f"`temper` must not be negative. Received: {temper=}")
    if not floor >= 0:
        raise InputError(f"`floor` must not be negative. Received: {floor=}")
    if clip is not None and not (clip > 0 and clip >= floor):
        raise InputError(
            "`clip` must be positive and not below `floor`. "
            f"Received: {clip=}, {floor=}"
        )
    if top_k is not None and top_k < 1:
        raise InputError(f"`top_k` must be at least 1. Received: {top_k=}")


def normalise(weights: np.ndarray, source_prior: np.ndarray) -> np.ndarray:
    """Scales weights `[C]` to mean 1 under the source prior `[C]`.

    Raises:
        InputError: if the lengths differ, a weight is negative or not
            finite, or all weights of classes with examples are zero.
    """
    weights = np.asarray(weights, np.float64)
    if weights.shape != source_prior.shape:
        raise InputError(
            f"Importance weights must have length {len(source_prior)}, one "
            f"per source class. Received: shape {weights.shape}"
        )
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        bad = weights[~(np.isfinite(weights) & (weights >= 0))][0]
        raise InputError(
            f"Importance weights must be finite and not negative. "
            f"Received: {bad}"
        )
    mean = float(weights @ source_prior)
    if mean == 0:
        raise InputError(
            "Importance weights must not all be zero. "
            f"Received: {len(weights)} zeros on the classes with examples"
        )
    return weights / mean
