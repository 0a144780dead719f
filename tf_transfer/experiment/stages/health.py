"""Whether a stage of training has learned anything."""

from collections.abc import Sequence

import numpy as np
import scipy.special

DIVERGED = "has diverged"
PROBE = 16
"""The number of images by which outputs are judged."""
_LEAST_SPREAD = 1e-3
_LEAST_STEPS = 50  # before which a model may still be flat
_MOST_LOSS = 2.0  # times the loss of equal probabilities
_ATTEMPTS = 4


def lower_rates(rate: float) -> list[float]:
    """Returns the learning rates to try: each is a third of the one before.

    >>> lower_rates(27.0)
    [27.0, 9.0, 3.0, 1.0]
    """
    return [rate / 3**attempt for attempt in range(_ATTEMPTS)]


def trouble(
    losses: Sequence[float], logits: np.ndarray, steps: int, chance: float
) -> str:
    """Returns what is wrong with a trained model, or an empty text.

    Args:
        losses: means of the epochs.
        logits: of several different images, `[N, C]`.
        steps: how long it was trained.
        chance: the loss of equal probabilities.

    Example:

    >>> trouble([1.4, 1.2], np.array([[0.1, 0.9], [0.5, 0.2]]), 100, 0.69)
    ''
    >>> trouble([1.4, 0.69], np.array([[0.1, 0.9], [0.1, 0.9]]), 100, 0.69)
    'gives all images the same outputs'
    """
    finite = np.isfinite(losses[-1]) and np.isfinite(logits).all()
    if not finite or losses[-1] > max(_MOST_LOSS * chance, losses[0]):
        return DIVERGED
    spread = scipy.special.log_softmax(logits, axis=-1).std(axis=0)
    if steps >= _LEAST_STEPS and spread.max() < _LEAST_SPREAD:
        return "gives all images the same outputs"
    return ""
