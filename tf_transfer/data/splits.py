"""Parts of a data set: for training, validation and test."""

import dataclasses
import enum
import functools

import numpy as np

from tf_transfer.data.image_data import ImageData
from tf_transfer.data.store import indexed
from tf_transfer.errors import InputError
from tf_transfer.utils.progress import fact

_TEST_SEED = 20181116  # of the test part of data sets without one
_FOLD_SEED = 20260101
_FOLDS = (3, 5)  # the fewest and the most
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
    sizes = _class_sizes(data, order)
    held_out = np.sort(order[place < np.ceil(share * (sizes - 1))])
    return np.setdiff1d(np.arange(len(data.labels)), held_out), held_out


def check_apart(source: ImageData, test: ImageData) -> None:
    """Checks that the source does not contain the target's test images.

    Raises:
        InputError: if it contains more than 1 % of them, bit for bit.
    """
    known = source.digests()
    if len(known) < len(source.labels):
        fact(
            "images that are decoded as they are needed are not compared with "
            "the target's test images"
        )
    shared = int(np.isin(test.digests(), known).sum())
    if shared > _MOST_SHARED * len(test.images):
        raise InputError(
            "The source must not contain the target's test images; choose its "
            "classes by `data.source_classes`, or give the target a test part. "
            f"Received: {shared} of {len(test.images)} in both"
        )


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
        unlabelled: more images for the estimate of the target's prior, or
            None.
    """

    labelled: ImageData
    train: ImageData
    validation: ImageData
    test: ImageData
    unlabelled: ImageData | None = None

    @functools.cached_property
    def for_prior(self) -> ImageData:
        """The images to estimate P_t from; their labels do not count."""
        if self.unlabelled is None:
            return self.labelled
        parts = self.labelled.images, self.unlabelled.images
        images = indexed.joined([part for part in parts if len(part)])
        labels = np.zeros(len(images), np.int32)
        return ImageData(images, labels, ["any"], frame=self.labelled.frame)

    def part(self, name: Part) -> ImageData:
        """Returns a part by its name."""
        return getattr(self, name.value)


def test_part(data: ImageData, share: float) -> np.ndarray:
    """Returns the indices of a data set's test part.

    If the data set has none of its own, it is a share of every class: of two or
    more images at least one. The seed is constant, so that no run trains on an
    image that another run tests on.

    Args:
        data: the whole data set.
        share: between 0 and 1.
    """
    if data.test is not None:
        return data.test
    order, place = _by_class(data.labels, _TEST_SEED)
    sizes = _class_sizes(data, order)
    # Rounded first: .29 * 100 is a little less than 29.
    counts = np.floor(np.round(share * sizes, 9))
    return np.sort(order[place < np.maximum(counts, sizes > 1)])


def validation_of(labels_per_class: int) -> int:
    """Returns how many of the drawn labels of a class are for validation."""
    return max(1, labels_per_class * 3 // 10)


def folds_of(seeds: int) -> int:
    """Returns how many folds the labelled images of some seeds lie in.

    Three seeds or more together validate with every image.
    """
    return max(_FOLDS[0], min(seeds, _FOLDS[1]))


def split_target(
    data: ImageData,
    labels_per_class: int = 0,
    validation_per_class: int = 0,
    seed: int = 0,
    *,
    test_share: float = 0.2,
    folds: int = 5,
) -> TargetSplit:
    """Takes the labelled images of one run and splits off a validation part.

    Args:
        data: the whole target.
        labels_per_class: labelled images of each class, drawn by the seed; 0
            for all outside the test part.
        validation_per_class: how many of those are held out for validation. 0
            stands for three tenths of drawn ones, and of all labelled images
            for fold number `seed % folds`, to which every class gives its
            share.
        seed: of the draw.
        test_share: of each class, for a data set without a test part.
        folds: into which all labelled images are divided.

    Returns:
        The parts; `labelled` is `train` and `validation` together.

    Raises:
        InputError: if a class has too few images, the test part is empty, or
            `validation_per_class` is out of range.

    Example:

    >>> import tf_transfer as tt
    >>> digits = tt.load("digits", size=8, channels=1)
    >>> for labels_per_class in (10, 0):
    ...     parts = split_target(digits, labels_per_class, seed=0)
    ...     print(*[len(part.labels) for part in (
    ...         parts.train, parts.validation, parts.test)])
    70 30 355
    1153 289 355
    """
    test = test_part(data, test_share)
    if not len(test):
        raise InputError(
            "The target's test part must have images. "
            f"Received: none of {data.num_classes} classes"
        )
    pool = np.setdiff1d(np.arange(len(data.labels)), test)
    if labels_per_class:
        count = validation_per_class or validation_of(labels_per_class)
        order, held_out = _drawn(data, pool, labels_per_class, count, seed)
    elif validation_per_class:
        order, held_out = _all(data, pool, validation_per_class, seed)
    else:
        order, held_out = _fold(data, pool, seed % folds, folds)
    chosen = pool[order]
    return TargetSplit(
        labelled=data.take(chosen),
        train=data.take(chosen[~held_out]),
        validation=data.take(chosen[held_out]),
        test=data.take(test),
    )


def _drawn(
    data: ImageData, pool: np.ndarray, labels: int, validation: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `labels` of each class; tells which of them are held out."""
    if not 0 < validation < labels:
        raise InputError(
            "`validation_per_class` must be positive and below "
            f"`labels_per_class`. Received: {validation} and {labels}"
        )
    counts = np.bincount(data.labels[pool], minlength=data.num_classes)
    if counts.min() < labels:
        smallest = int(counts.argmin())
        raise InputError(
            f"The target must have {labels} images of every class outside its "
            "test part, or `labels_per_class` be 0, for all that there are. "
            f"Received: {counts[smallest]} of class "
            f"{data.class_names[smallest]!r}"
        )
    order = draw_per_class(data.labels[pool], labels, seed)
    return order, np.arange(len(order)) % labels < validation


def _all(
    data: ImageData, pool: np.ndarray, validation: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Takes all images, and holds out some of each class, but never all."""
    order, place = _by_class(data.labels[pool], seed)
    others = _class_sizes(data, pool[order]) - 1
    return order, _some(place < np.minimum(validation, others), data)


def _fold(
    data: ImageData, pool: np.ndarray, number: int, folds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Takes all images, and holds out a fold, but no class as a whole."""
    order, _ = _by_class(data.labels[pool], _FOLD_SEED)
    # Classes follow each other, so that small ones share the folds out.
    held_out = np.arange(len(order)) % folds == number
    return order, _some(held_out & (_class_sizes(data, pool[order]) > 1), data)


def _class_sizes(data: ImageData, indices: np.ndarray) -> np.ndarray:
    """Returns for each image how many of them are of its class."""
    labels = data.labels[indices]
    return np.bincount(labels)[labels]


def _some(held_out: np.ndarray, data: ImageData) -> np.ndarray:
    """Raises InputError if nothing is held out; returns its argument."""
    if not held_out.any():
        raise InputError(
            "The target needs some classes of two or more labelled images "
            "outside its test part, to hold one out for validation. "
            f"Received: {len(held_out)} images of {data.num_classes} classes"
        )
    return held_out
