"""From two priors to importance weights: the ratio, shaped and normalised.

Pure NumPy. The weight of a class is `P_t / P_s` (Ngiam et al. 2018, section
3). Tempering, clipping and a floor keep a noisy estimate of P_t from giving a
few classes most of the weight; a largest weight keeps a training from repeating
their images.
"""

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils import checks, weighting

_MOST_TEMPER = 50  # powers of large ratios would overflow


def importance_weights(
    target_prior: np.ndarray,
    source_prior: np.ndarray,
    *,
    temper: float = 1.0,
    clip: float | None = None,
    floor: float = 0.0,
    top_k: int | None = None,
    most: float | None = None,
    reverse: bool = False,
) -> np.ndarray:
    """Returns `(P_t / P_s) ** temper`, clipped and floored, mean 1 under P_s.

    Args:
        target_prior: P_t, `[C]`.
        source_prior: P_s, `[C]`. A class with share 0 gets weight 0.
        temper: exponent of the ratio: 0 makes the weights equal, 1 keeps
            them, and more than 1 sharpens them. Infinity gives `most` to the
            classes of the largest ratios, and nothing to the others.
        clip: the largest weight before the final normalisation.
        floor: the smallest weight before the final normalisation.
        top_k: how many classes, those with the largest ratios, keep their
            weights (a specialist); the others get 0. With `temper=0` the
            weights of these classes are equal.
        most: the largest weight. What is cut off goes to the other classes,
            in proportion to their weights. Below 1 it stands for 1, which
            makes the weights equal; it gives way where the classes that have
            a weight are too few.
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
    check_shaping(temper, clip, floor, top_k, most)
    target_prior = checks.check_prior(target_prior)
    source_prior = checks.check_prior(source_prior, len(target_prior))
    nonempty = source_prior > 0
    ratio = np.divide(
        target_prior,
        source_prior,
        out=np.zeros_like(target_prior),
        where=nonempty,
    )
    if np.isinf(temper):
        return _filled(-ratio if reverse else ratio, source_prior, top_k, most)
    bounded = np.clip(ratio**temper, floor, clip) * nonempty
    if top_k is not None and top_k < len(bounded):
        bounded[np.argsort(-ratio, kind="stable")[top_k:]] = 0.0
    if reverse:
        order = np.lexsort((ratio, bounded))  # equal weights by their ratios
        order = order[nonempty[order]]
        bounded[order] = bounded[order[::-1]]
    weights = weighting.normalise(bounded, source_prior)
    return weights if most is None else _capped(weights, source_prior, most)


def softened(shaping: dict, strength: float) -> dict:
    """Returns settings whose weights lie between equal and full strength.

    Equal among the classes that `top_k` leaves.

    The exponent is multiplied by `strength`; if it is infinite, the largest
    weight `most` is raised to that power instead, so that more classes have
    it.

    Args:
        shaping: settings of `importance_weights`.
        strength: from 0, for equal weights, to 1.

    Raises:
        InputError: if `strength` is out of range.
    """
    if not 0 <= strength <= 1:
        raise InputError(
            f"`strength` must be from 0 to 1. Received: {strength=}"
        )
    temper, most = shaping["temper"], shaping["most"]
    if np.isinf(temper):
        return shaping | {"most": max(most, 1.0) ** strength}
    return shaping | {"temper": temper * strength}


def _capped(
    weights: np.ndarray, source_prior: np.ndarray, most: float
) -> np.ndarray:
    """Returns `min(most, c * weights)` with mean 1."""
    most, capped, scale = max(most, 1.0), np.zeros(len(weights), bool), 1.0
    while True:
        above = ~capped & (scale * weights > most)
        if not above.any():
            break
        capped |= above
        rest = (source_prior * weights)[~capped].sum()
        if not rest:
            break
        scale = (1 - most * source_prior[capped].sum()) / rest
    weights = np.where(capped, most, scale * weights)
    return weighting.normalise(weights, source_prior)


def _filled(
    ratio: np.ndarray,
    source_prior: np.ndarray,
    top_k: int | None,
    most: float,
) -> np.ndarray:
    """Returns `most` for the largest ratios, until the mean is 1."""
    nonempty = np.flatnonzero(source_prior)
    order = nonempty[np.argsort(-ratio[nonempty], kind="stable")][:top_k]
    share, weights = source_prior[order], np.zeros(len(ratio))
    before = max(most, 1.0) * (np.cumsum(share) - share)
    weights[order] = np.clip((1 - before) / share, 0, max(most, 1.0))
    return weighting.normalise(weights, source_prior)


def check_shaping(
    temper: float,
    clip: float | None,
    floor: float,
    top_k: int | None,
    most: float | None = None,
) -> None:
    """Raises InputError if a setting of `importance_weights` is invalid."""
    if not (0 <= temper <= _MOST_TEMPER or temper == np.inf):
        raise InputError(
            f"`temper` must be from 0 to {_MOST_TEMPER}, or infinite. "
            f"Received: {temper=}"
        )
    if not 0 <= floor < np.inf:
        raise InputError(
            f"`floor` must be finite and not negative. Received: {floor=}"
        )
    if clip is not None and not (clip > 0 and clip >= floor):
        raise InputError(
            "`clip` must be positive and not below `floor`. "
            f"Received: {clip=}, {floor=}"
        )
    if most is not None and not 0 < most < np.inf:
        raise InputError(
            f"`most` must be positive and finite. Received: {most=}"
        )
    if np.isinf(temper) and most is None:
        raise InputError(
            "An infinite `temper` needs `most`, the largest weight. "
            f"Received: {temper=}, {most=}"
        )
    if top_k is not None and not (top_k == int(top_k) >= 1):
        raise InputError(
            f"`top_k` must be an integer of at least 1. Received: {top_k=}"
        )
