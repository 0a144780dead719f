"""Figures of merit, and their intervals over seeds."""

from collections.abc import Sequence

import numpy as np
import scipy.special


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
    log_probs = scipy.special.log_softmax(logits, axis=-1)
    loss = -log_probs[np.arange(len(labels)), labels]
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
    probabilities = scipy.special.softmax(logits, axis=-1)
    return {
        "label": np.asarray(labels, np.int32),
        "predicted": logits.argmax(axis=-1).astype(np.int32),
        "probability": probabilities.max(axis=-1).astype(np.float32),
    }


def roc_area(relevant: np.ndarray, scores: np.ndarray) -> float:
    """Returns the area under the ROC curve, in 0..1; .5 is chance.

    Args:
        relevant: `[N]` bool, with both values.
        scores: `[N]`, to be larger where relevant.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(relevant, scores))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the half width of its 95 % interval.

    Student's t over seeds; the half width of a single value is infinite.
    """
    from scipy.stats import sem, t

    values = np.asarray(values, np.float64)
    n = len(values)
    if n < 2:
        return float(values.mean()), float("inf")
    return float(values.mean()), float(t.ppf(0.975, n - 1) * sem(values))
