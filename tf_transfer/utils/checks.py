"""Checks of labels, priors, seeds and labelled datasets."""

import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError


def _check_seed(seed: int) -> None:
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise InputError(
            f"`seed` must be an integer of at least 0. Received: {seed!r}"
        )


def check_labelled(dataset: tf.data.Dataset) -> bool:
    """Checks that a dataset yields records with class numbers.

    Nothing is read of it.

    Returns:
        Whether it yields batches.
    """
    spec = getattr(dataset, "element_spec", type(dataset).__name__)
    pair = isinstance(spec, tuple) and len(spec) >= 2
    if not pair or not isinstance(spec[1], tf.TensorSpec):
        raise InputError(
            f"The source dataset must yield (record, label). Received: {spec}"
        )
    if spec[1].shape.rank not in (0, 1) or not spec[1].dtype.is_integer:
        raise InputError(
            "Source labels must be class numbers of shape [] or [B], not "
            f"one-hot vectors. Received: {spec[1]}"
        )
    return spec[1].shape.rank == 1


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
