"""Figures of merit, and their intervals over seeds."""

from collections.abc import Sequence

import numpy as np


def classification_metrics(
    logits: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Returns accuracy, mean per-class accuracy and loss, in 0..1 and nats.

    Args:
        logits: `[N, C]`.
        labels: `[N]` integers.
    """
    right = logits.argmax(axis=-1) == labels
    per_class = [right[labels == c].mean() for c in np.unique(labels)]
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1))
    loss = log_sum - shifted[np.arange(len(labels)), labels]
    return {
        "accuracy": float(right.mean()),
        "mean_per_class_accuracy": float(np.mean(per_class)),
        "loss": float(loss.mean()),
    }


def predictions(
    logits: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns what a model says of images, small enough to keep.

    Args:
        logits: `[N, C]`.
        labels: `[N]` integers.

    Returns:
        `label`, `predicted` and its `probability`, each `[N]`.

    Example:

    >>> said = predictions(np.array([[0.0, 1.0]]), np.array([0]))
    >>> said["predicted"], said["probability"].round(2)
    (array([1], dtype=int32), array([0.73], dtype=float32))
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return {
        "label": np.asarray(labels, np.int32),
        "predicted": logits.argmax(axis=-1).astype(np.int32),
        "probability": (1 / np.exp(shifted).sum(axis=-1)).astype(np.float32),
    }


def roc_area(relevant: np.ndarray, scores: np.ndarray) -> float:
    """Returns the area under the ROC curve, in 0..1; .5 is chance.

    Args:
        relevant: `[N]` bool, with both values.
        scores: `[N]`, to be larger where relevant.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.asarray(scores, np.float64))[relevant]
    most = len(ranks) * (len(scores) - len(ranks))
    return float((ranks - np.arange(1, len(ranks) + 1)).sum() / most)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the half width of its 95 % interval.

    Student's t over seeds; the half width of a single value is infinite.
    """
    from scipy.stats import t

    values = np.asarray(values, np.float64)
    n = len(values)
    if n < 2:
        return float(values.mean()), float("inf")
    error = values.std(ddof=1) / np.sqrt(n)
    return float(values.mean()), float(t.ppf(0.975, n - 1) * error)
