"""The section of a report on what the chosen model gets wrong."""

import collections
import pathlib
from collections.abc import Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.experiment.run_folder import predictions_path
from tf_transfer.report import svg

_LARGEST_MATRIX = 25
_CONFUSIONS = 10
_WORST = 18


def read(run: pathlib.Path, method: str, seed: int) -> dict[str, np.ndarray]:
    """Returns `label`, `predicted` and `probability` of the test images.

    Raises:
        InputError: if the file cannot be read.
    """
    path = predictions_path(run, method, seed)
    try:
        with open(path, "rb") as content, np.load(content) as file:
            names = ("label", "predicted", "probability")
            return {name: file[name] for name in names}
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(
            f"The file cannot be read. Received: {path}"
        ) from error


def frequent(
    label: np.ndarray, predicted: np.ndarray, most: int
) -> list[tuple[int, int, int]]:
    """Returns the most frequent confusions: label, predicted, how often.

    Example:

    >>> frequent(np.array([0, 2, 2]), np.array([0, 1, 1]), most=5)
    [(2, 1, 2)]
    """
    wrong = label != predicted
    pairs = zip(label[wrong].tolist(), predicted[wrong].tolist(), strict=True)
    found = collections.Counter(sorted(pairs)).most_common(most)
    return [(*pair, count) for pair, count in found]


def section(
    said: dict[str, np.ndarray],
    names: Sequence[str],
    test: ImageData | None,
) -> dict[str, Any]:
    """Returns what the section shows.

    Args:
        said: what `read` returns.
        names: of the target classes.
        test: the test images, in the order in which they were read, if there
            are any to show.
    """
    from sklearn.metrics import confusion_matrix

    label, predicted = said["label"], said["predicted"]
    of_class = np.bincount(label, minlength=len(names))
    matrix = None
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
        "names": names,
        "confusions": [
            {
                "true": names[true],
                "taken": names[taken],
                "count": count,
                "of": int(of_class[true]),
            }
            for true, taken, count in frequent(label, predicted, _CONFUSIONS)
        ],
        "wrong": int((label != predicted).sum()),
        "count": len(label),
        "worst": test and _worst(said, names, test),
    }


def _worst(
    said: dict[str, np.ndarray], names: Sequence[str], test: ImageData
) -> list[dict[str, Any]]:
    """Returns the wrong predictions that the model was surest of."""
    wrong = np.flatnonzero(said["label"] != said["predicted"])
    order = np.argsort(-said["probability"][wrong], kind="stable")[:_WORST]
    return [
        {
            "image": svg.picture(test.images[i : i + 1], most=96),
            "true": names[said["label"][i]],
            "taken": names[said["predicted"][i]],
            "probability": float(said["probability"][i]),
        }
        for i in wrong[order]
    ]
