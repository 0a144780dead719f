"""What a set of importance weights means for training: size and spread.

Pure NumPy. Weights and priors are `[C]`, one entry per source class.
"""

import dataclasses

import numpy as np

LOW_ESS = 0.1
MOST_REPEATS = 4
"""Up to which an image is worth nearly as much as a new one (2305.16264)."""
NEARLY_EQUAL = 0.9


def effective_sample_size(
    weights: np.ndarray, source_prior: np.ndarray
) -> float:
    """Returns the effective share of the source examples, in (0, 1].

    This is Kish's `(sum w)^2 / (n sum w^2)` over the source examples. Equal
    weights give 1; the more unequal the weights are, the smaller it is.

    Args:
        weights: importance weights, `[C]`.
        source_prior: P_s, `[C]`.

    Example:

    >>> effective_sample_size(np.array([2.0, 0.0]), np.array([0.5, 0.5]))
    0.5
    """
    weights = np.asarray(weights, np.float64)
    return float((weights @ source_prior) ** 2 / (weights**2 @ source_prior))


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """What a set of importance weights means for training.

    Attributes:
        ess: effective share of the source examples, in (0, 1].
        largest: the largest weight.
        clipped: share of the target mass that clipping removed.
        entropy: entropy of P_t in nats.
        advice: what to do if training would repeat few examples; else empty.
        repeats: how often training draws each image of the effective sample,
            on average; None if it is not known how long it lasts.
    """

    ess: float
    largest: float
    clipped: float
    entropy: float
    advice: str
    repeats: float | None = None


def diagnose(
    weights: np.ndarray,
    target_prior: np.ndarray,
    source_prior: np.ndarray,
    clip: float | None = None,
    temper: float = 1.0,
    passes: float | None = None,
) -> Diagnostics:
    """Returns the diagnostics of weights made from two priors, all `[C]`.

    Args:
        weights: importance weights.
        target_prior: P_t that they were made from.
        source_prior: P_s that they were made from.
        clip: the largest ratio before normalisation, or None.
        temper: exponent of the ratios.
        passes: how often training draws as many images as the source has.
    """
    ess = effective_sample_size(weights, source_prior)
    mass = target_prior[target_prior > 0]
    clipped = 0.0
    if clip is not None and np.isfinite(temper):
        nonempty = source_prior > 0
        tempered = (target_prior[nonempty] / source_prior[nonempty]) ** temper
        excess = np.maximum(tempered - clip, 0) @ source_prior[nonempty]
        clipped = excess / (tempered @ source_prior[nonempty])
    repeats = None if passes is None else passes / ess
    warning = advice(ess, repeats)
    if warning:
        size = f"The effective sample size is {ess:.1%} of the source"
        warning = f"{size}: {warning}"
    return Diagnostics(
        ess=ess,
        largest=float(weights.max()),
        clipped=float(clipped),
        entropy=float(-(mass * np.log(mass)).sum()),
        advice=warning,
        repeats=repeats,
    )


def advice(ess: float, repeats: float | None) -> str:
    """Returns what to do if training would repeat few examples; else "".

    Args:
        ess: effective share of the source examples.
        repeats: of each of these in training; None if that is not known.
    """
    times = ""
    if repeats is not None:
        times = f", {repeats:.0f} times each"
    if ess >= LOW_ESS or (repeats or np.inf) <= MOST_REPEATS:
        return ""
    return (
        f"training will repeat few examples{times}. Limit the repeats "
        "(`datl.repeats`; `most` from Python), or check the target's framing."
    )


def weight_interval(
    weight: np.ndarray,
    target_prior: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the intervals of weights, in proportion to those of P_t.

    Args:
        weight: importance weights.
        target_prior: P_t, of the same shape.
        low: the lower ends of P_t's intervals.
        high: their upper ends.

    Returns:
        The lower and the upper ends. The weight always lies between them;
        where P_t is 0, both are the weight itself.

    Example:

    >>> low, high = weight_interval(*np.array([[3.0], [0.2], [0.1], [0.4]]))
    >>> float(low[0]), float(high[0])
    (1.5, 6.0)
    """
    positive = target_prior > 0
    scale = np.divide(
        weight, target_prior, out=np.zeros_like(weight), where=positive
    )
    return (
        np.where(positive, np.minimum(weight, scale * low), weight),
        np.where(positive, np.maximum(weight, scale * high), weight),
    )


def effective_classes(prior: np.ndarray) -> float:
    """Returns the effective number of classes of a prior `[C]`.

    This is one over the sum of the squared shares: C for equal shares, 1 if
    one class has them all.
    """
    return 1 / float(prior @ prior)
