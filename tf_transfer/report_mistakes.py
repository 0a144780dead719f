"""The section of a report on what the chosen model gets wrong."""

import pathlib
from collections.abc import Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tf_transfer import charts
from tf_transfer.data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.runfolder import predictions_path

_LARGEST_MATRIX = 25
_CONFUSIONS = 10
_WORST = 18


def read(
    run: pathlib.Path, method: str, seed: int
) -> dict[str, np.ndarray] | None:
    """Returns `label`, `predicted` and `probability` of the test images.

    None for a run of an older version, which did not keep them.

    Raises:
        InputError: if the file cannot be read.
    """
    path = predictions_path(run, method, seed)
    try:
        with open(path, "rb") as content, np.load(content) as file:
            names = ("label", "predicted", "probability")
            return {name: file[name] for name in names}
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(
            f"The file cannot be read. Received: {path}"
        ) from error


def confusion(
    label: np.ndarray, predicted: np.ndarray, classes: int
) -> np.ndarray:
    """Returns how often a class (row) was taken for another (column).

    Example:

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    pairs = label.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def frequent(
    label: np.ndarray, predicted: np.ndarray, most: int
) -> list[tuple[int, int, int]]:
    """Returns the most frequent confusions: label, predicted, how often.

    Example:

    >>> frequent(np.array([0, 2, 2]), np.array([0, 1, 1]), most=5)
    [(2, 1, 2)]
    """
    wrong = label != predicted
    pairs = np.stack([label[wrong], predicted[wrong]])
    found, counts = np.unique(pairs, axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(*map(int, found[:, i]), int(counts[i])) for i in order]


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
    label, predicted = said["label"], said["predicted"]
    of_class = np.bincount(label, minlength=len(names))
    matrix = None
    if len(names) <= _LARGEST_MATRIX:
        counts = confusion(label, predicted, len(names))
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
            "image": charts.picture(test.images[i : i + 1], most=96),
            "true": names[said["label"][i]],
            "taken": names[said["predicted"][i]],
            "probability": float(said["probability"][i]),
        }
        for i in wrong[order]
    ]
