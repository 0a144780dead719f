"""From two priors to importance weights: the ratio, shaped and normalised.

Pure NumPy. The weight of a class is `P_t / P_s` (Ngiam et al. 2018, section
3). Tempering, clipping and a floor keep a noisy estimate of P_t from giving a
few classes most of the weight.
"""

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils import checks, weighting


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
        temper: exponent of the ratio: 0 makes the weights equal, 1 keeps
            them, and more than 1 sharpens them.
        clip: the largest weight before the final normalisation.
        floor: the smallest weight before the final normalisation.
        top_k: how many classes, those with the largest ratios, keep their
            weights (a specialist); the others get 0. With `temper=0` the
            weights of these classes are equal.
        reverse: swap the weights, so that the class with the largest weight
            gets the smallest, and so on: the reversed control of Ngiam et
            al. 2018.

    Returns:
        Weights, `[C]` float64.

    Raises:
        InputError: if the lengths differ, a setting is out of range, or all
            weights are zero.

    Example:

    >>> importance_weights(np.array([.5, .25, .25]), np.full(3, 1 / 3))
    array([1.5 , 0.75, 0.75])
    """
    check_shaping(temper, clip, floor, top_k)
    target_prior = checks.check_prior(target_prior)
    source_prior = checks.check_prior(source_prior, len(target_prior))
    nonempty = source_prior > 0
    ratio = np.divide(
        target_prior,
        source_prior,
        out=np.zeros_like(target_prior),
        where=nonempty,
    )
    bounded = np.clip(ratio**temper, floor, clip) * nonempty
    if top_k is not None and top_k < len(bounded):
        bounded[np.argsort(-ratio, kind="stable")[top_k:]] = 0.0
    if reverse:
        order = np.argsort(bounded, kind="stable")
        order = order[nonempty[order]]
        bounded[order] = bounded[order[::-1]]
    return weighting.normalise(bounded, source_prior)


def check_shaping(
    temper: float, clip: float | None, floor: float, top_k: int | None
) -> None:
    """Raises InputError if a setting of `importance_weights` is invalid."""
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
