"""The section of a report on the mistakes of the exported model."""

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.data.image_data import ImageData
from tf_transfer.experiment.records.results import Predictions
from tf_transfer.report import svg
from tf_transfer.report.names import columns

_LARGEST_MATRIX = 25
_CONFUSIONS = 10
_WORST = 18
_LONGEST_UPRIGHT, _LONGEST_NAME = 2, 14  # above a column of the matrix


def frequent(
    label: np.ndarray, predicted: np.ndarray, most: int
) -> list[tuple[int, int, int]]:
    """Returns the most frequent confusions: label, prediction and count.

    Example:

    >>> frequent(np.array([0, 2, 2]), np.array([0, 1, 1]), most=5)
    [(2, 1, 2)]
    """
    wrong = label != predicted
    pairs = zip(label[wrong].tolist(), predicted[wrong].tolist(), strict=True)
    counts = collections.Counter(sorted(pairs))
    return [(*pair, count) for pair, count in counts.most_common(most)]


def section(
    predictions: Predictions,
    names: Sequence[str],
    test: ImageData | None,
) -> dict[str, Any]:
    """Returns the content of the section.

    Args:
        predictions: of the exported model.
        names: of the target classes.
        test: the test images, in the order of the predictions; None if they
            cannot be loaded.
    """
    from sklearn.metrics import confusion_matrix

    label, predicted = predictions.label, predictions.predicted
    of_class = np.bincount(label, minlength=len(names))
    matrix, longest = None, max(map(columns, names))
    if len(names) <= _LARGEST_MATRIX:
        places = np.arange(len(names))
        counts = confusion_matrix(label, predicted, labels=places)
        shares = counts / np.maximum(1, of_class)[:, None]
        matrix = [
            {"name": name, "cells": list(zip(row, share, strict=True))}
            for name, row, share in zip(names, counts, shares, strict=True)
        ]
    return {
        "matrix": matrix,
        "numbered": longest > _LONGEST_NAME,
        "turned": longest > _LONGEST_UPRIGHT,
        "names": names,
        "confusions": [
            {
                "true": names[true],
                "predicted": names[other],
                "count": count,
                "of": int(of_class[true]),
            }
            for true, other, count in frequent(label, predicted, _CONFUSIONS)
        ],
        "wrong": int((label != predicted).sum()),
        "count": len(label),
        "worst": test and _worst(predictions, names, test),
    }


def _worst(
    predictions: Predictions, names: Sequence[str], test: ImageData
) -> list[dict[str, Any]]:
    """Returns the wrong predictions with the largest probabilities."""
    label, predicted = predictions.label, predictions.predicted
    wrong = np.flatnonzero(label != predicted)
    order = np.argsort(-predictions.probability[wrong], kind="stable")[:_WORST]
    return [
        {
            "image": svg.picture(test.images[i : i + 1], most=96),
            "true": names[label[i]],
            "predicted": names[predicted[i]],
            "probability": float(predictions.probability[i]),
        }
        for i in wrong[order]
    ]
