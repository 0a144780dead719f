"""Checks of arguments that several rooms share, in NumPy alone.

Each raises InputError with one sentence that ends in what was received.
"""

from collections.abc import Sequence

import numpy as np

from tf_transfer.errors import InputError


def check_seed(seed: int) -> None:
    """Raises InputError unless a seed is an integer that tf.data can take."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise InputError(
            f"`seed` must be an integer of at least 0. Received: {seed!r}"
        )


def check_class_count(count: int, name: str = "num_classes") -> int:
    """Returns a number of classes as an int.

    Args:
        count: the number.
        name: of the argument, for the sentence.

    Raises:
        InputError: unless it is a positive integer.
    """
    if not isinstance(count, (int, np.integer)) or count < 1:
        raise InputError(
            f"`{name}` must be a positive integer. Received: {name}={count!r}"
        )
    return int(count)


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


def check_prior(
    prior: Sequence[float] | np.ndarray, num_classes: int | None = None
) -> np.ndarray:
    """Returns a class prior as `[C]` float64.

    Args:
        prior: the share of each class.
        num_classes: how many classes there must be; None for any number.

    Raises:
        InputError: unless the prior is a probability vector of that length.
    """
    prior = np.asarray(prior, np.float64)
    fits = prior.ndim == 1 and num_classes in (None, len(prior))
    if not fits or not len(prior):
        entries = "one entry per class"
        if num_classes is not None:
            entries = f"{num_classes} entries, one per class"
        raise InputError(
            f"A class prior must have {entries}. Received: shape {prior.shape}"
        )
    with np.errstate(invalid="ignore"):  # of infinities of both signs
        total = prior.sum()
    if not (prior >= 0).all() or abs(total - 1) > 1e-3:
        raise InputError(
            "A class prior must hold shares that sum to 1, not counts. "
            f"Received: sum {total:g}, smallest {prior.min():g}"
        )
    return prior


def check_weights(
    weights: Sequence[float] | np.ndarray,
    num_classes: int | None = None,
    *,
    positive: bool = False,
) -> np.ndarray:
    """Returns class weights as `[C]` float64.

    Args:
        weights: one weight per source class.
        num_classes: how many classes there must be; None for any number.
        positive: whether at least one weight must be positive.

    Raises:
        InputError: if the shape is wrong, a weight is negative or not finite,
            or all are 0 although one must be positive.
    """
    weights = np.asarray(weights, np.float64)
    fits = weights.ndim == 1 and num_classes in (None, len(weights))
    if not fits or not len(weights):
        count = "" if num_classes is None else f", {num_classes}"
        raise InputError(
            f"There must be one weight per source class{count}. "
            f"Received: weights of shape {weights.shape}"
        )
    usable = np.isfinite(weights).all() and weights.min() >= 0
    if not usable or (positive and not weights.any()):
        rule = "finite and not negative"
        if positive:
            rule = "finite, not negative and not all 0"
        raise InputError(
            f"Weights must be {rule}. "
            f"Received: {weights.min():g} to {weights.max():g}"
        )
    return weights
