"""Parts of a data set: what is learned from, chosen by, and tested on."""

import dataclasses

import numpy as np

from tf_transfer.data import ImageData, draw_per_class
from tf_transfer.errors import InputError

_TEST_SEED = 20181116  # the held-out half of sets without a test part


def hold_out(
    data: ImageData, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices kept and held out; every class keeps one example."""
    order = np.random.default_rng(seed).permutation(len(data.labels))
    held = []
    for c in range(data.num_classes):
        found = order[data.labels[order] == c]
        held.append(found[: int(np.ceil(share * max(0, len(found) - 1)))])
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(data.labels)), held), held


@dataclasses.dataclass(frozen=True)
class TargetSplit:
    """The target's parts: few labelled images, and a test part.

    Attributes:
        labelled: all labelled target images a method may use.
        train: the labelled images less the validation part.
        validation: the held-out part of the labelled images.
        test: read once per run, never for a choice.
    """

    labelled: ImageData
    train: ImageData
    validation: ImageData
    test: ImageData


def split_target(
    data: ImageData, labels_per_class: int, validation_per_class: int, seed: int
) -> TargetSplit:
    """Draws the labelled images of one run and splits off a validation part.

    A data set without a test part of its own is halved, by a constant seed,
    so that no run's labelled image is another run's test image.

    Args:
        data: the whole target.
        labels_per_class: labelled images of each class.
        validation_per_class: how many of those are held out.
        seed: of the draw.

    Returns:
        The parts; `labelled` is `train` and `validation` together.

    Raises:
        InputError: if a class has too few images, or the test part none.

    Example:

    >>> from tf_transfer import data
    >>> digits = data.load("digits", size=8, channels=1)
    >>> parts = split_target(digits, 10, 3, seed=0)
    >>> [len(part.labels) for part in (parts.train, parts.validation)]
    [70, 30]
    """
    if not 0 < validation_per_class < labels_per_class:
        raise InputError(
            "`validation_per_class` must be positive and below "
            f"`labels_per_class`. Received: {validation_per_class} and "
            f"{labels_per_class}"
        )
    everything = np.arange(len(data.labels))
    test = data.test
    if test is None:
        order = np.random.default_rng(_TEST_SEED).permutation(everything)
        test = np.sort(order[: len(order) // 2])
    if not len(test):
        raise InputError(
            "The target's test part must have images of its classes. "
            f"Received: none of {data.num_classes} classes"
        )
    pool = np.setdiff1d(everything, test)
    found = np.bincount(data.labels[pool], minlength=data.num_classes)
    if found.min() < labels_per_class:
        poorest = int(found.argmin())
        raise InputError(
            f"The target must have {labels_per_class} images of every class "
            "outside its test part. Received: "
            f"{found[poorest]} of class {data.class_names[poorest]!r}"
        )
    chosen = pool[draw_per_class(data.labels[pool], labels_per_class, seed)]
    position = np.arange(len(chosen)) % labels_per_class
    held = position < validation_per_class
    return TargetSplit(
        labelled=data.take(chosen),
        train=data.take(chosen[~held]),
        validation=data.take(chosen[held]),
        test=data.take(test),
    )
