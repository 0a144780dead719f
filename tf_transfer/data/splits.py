"""Parts of a data set: for training, validation and test."""

import dataclasses
import enum
import hashlib

import numpy as np

from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError

_TEST_SEED = 20181116  # the held-out half of sets without a test part
_MOST_SHARED = 0.01  # of the test images, which the source may hold by chance


def trained_on(source: ImageData, per_class: int) -> ImageData:
    """Returns the source images to train on, without its test part.

    Args:
        source: the whole source.
        per_class: the most images of each class; 0 for all.
    """
    source = source.train_part()
    if not per_class:
        return source
    return source.take(draw_per_class(source.labels, per_class, seed=0))


def draw_per_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws at most `count` indices of every class that occurs in `labels`."""
    order, place = _by_class(labels, seed)
    return order[place < count]


def _by_class(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns shuffled indices, sorted by class, and each one's place there.

    The place of an index counts from 0 inside its class.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    ordered = labels[order]
    return order, np.arange(len(order)) - np.searchsorted(ordered, ordered)


def hold_out(
    data: ImageData, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices for training and those held out.

    Every class has at least one example for training.
    """
    order, place = _by_class(data.labels, seed)
    sizes = np.bincount(data.labels)[data.labels[order]]
    held_out = np.sort(order[place < np.ceil(share * (sizes - 1))])
    return np.setdiff1d(np.arange(len(data.labels)), held_out), held_out


def check_apart(source: ImageData, test: ImageData) -> None:
    """Checks that the source does not contain the target's test images.

    Raises:
        InputError: if it contains more than 1 % of them, bit for bit.
    """
    digests = {_digest(image) for image in source.images}
    shared = sum(_digest(image) in digests for image in test.images)
    if shared > _MOST_SHARED * len(test.images):
        raise InputError(
            "The source must not contain the target's test images; choose its "
            "classes by `data.source_classes`, or give the target a test part. "
            f"Received: {shared} of {len(test.images)} in both"
        )


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes()).digest()


class Part(enum.Enum):
    """The name of a part of the target; see `TargetSplit`."""

    LABELLED = "labelled"
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclasses.dataclass(frozen=True, eq=False)
class TargetSplit:
    """The target's parts: few labelled images, and a test part.

    Attributes:
        labelled: all labelled target images that a method may use.
        train: the labelled images without the validation part.
        validation: the held-out part of the labelled images.
        test: for the final accuracy alone, never for a choice.
    """

    labelled: ImageData
    train: ImageData
    validation: ImageData
    test: ImageData

    def part(self, name: Part) -> ImageData:
        """Returns a part by its name."""
        return getattr(self, name.value)


def test_part(data: ImageData) -> np.ndarray:
    """Returns the indices of a data set's test part.

    If the data set has none of its own, it is half of every class. The seed is
    constant, so that no run trains on an image that another run tests on.
    """
    if data.test is not None:
        return data.test
    order, place = _by_class(data.labels, _TEST_SEED)
    sizes = np.bincount(data.labels)[data.labels[order]]
    return np.sort(order[place < sizes // 2])


def split_target(
    data: ImageData, labels_per_class: int, validation_per_class: int, seed: int
) -> TargetSplit:
    """Draws the labelled images of one run and splits off a validation part.

    Args:
        data: the whole target.
        labels_per_class: labelled images of each class.
        validation_per_class: how many of those are held out for validation.
        seed: of the draw.

    Returns:
        The parts; `labelled` is `train` and `validation` together.

    Raises:
        InputError: if a class has too few images, the test part is empty, or
            `validation_per_class` is out of range.

    Example:

    >>> import tf_transfer as tt
    >>> digits = tt.load("digits", size=8, channels=1)
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
    test = test_part(data)
    if not len(test):
        raise InputError(
            "The target's test part must have images. "
            f"Received: none of {data.num_classes} classes"
        )
    pool = np.setdiff1d(np.arange(len(data.labels)), test)
    counts = np.bincount(data.labels[pool], minlength=data.num_classes)
    if counts.min() < labels_per_class:
        smallest = int(counts.argmin())
        raise InputError(
            f"The target must have {labels_per_class} images of every class "
            "outside its test part (half of each class, if the data set has no "
            f"test part of its own). Received: {counts[smallest]} of class "
            f"{data.class_names[smallest]!r}"
        )
    chosen = pool[draw_per_class(data.labels[pool], labels_per_class, seed)]
    position = np.arange(len(chosen)) % labels_per_class
    held_out = position < validation_per_class
    return TargetSplit(
        labelled=data.take(chosen),
        train=data.take(chosen[~held_out]),
        validation=data.take(chosen[held_out]),
        test=data.take(test),
    )
