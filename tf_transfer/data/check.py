"""What is odd about labelled images, before anything is trained."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from tf_transfer.data.image_data import ImageData
from tf_transfer.utils.storage.json_fields import Fields

NAME = "data_check.json"
MOST = 2**24  # bytes of it
FEW = 5
_SAMPLE = 1_000
_MOST_SOURCE = 200_000
_SIDES = 8, 32  # of images that are compared coarsely, and finely
_COARSE, _FINE = 0.98, 0.99  # correlations of nearly the same images
_BLOCK = 2_000  # images at a time
_NAMED = 3
_MOST_IMAGES = 10**12


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataCheck:
    """Counts of images, and of those that are odd.

    Attributes:
        source, target, test: the number of images by class: of the source, of
            the labelled target and of its test part.
        blank: images of source and target that are of one colour.
        compared: test images that were looked for elsewhere, 1,000 at most.
        in_source: those of them that are nearly the same as a source image.
        in_target: those that are nearly the same as a labelled target image.
        other_label: those of the last that have another label there.
    """

    source: dict[str, int]
    target: dict[str, int]
    test: dict[str, int]
    blank: int
    compared: int
    in_source: int
    in_target: int
    other_label: int

    @classmethod
    def of(
        cls, source: ImageData, labelled: ImageData, test: ImageData
    ) -> "DataCheck":
        """Looks at the images of an experiment.

        Of a source of more than 200,000 images, as many are looked at.

        Args:
            source: the source images to train with.
            labelled: the labelled target images.
            test: the target's test images.

        Example:

        >>> images = np.random.default_rng(0).integers(0, 256, (6, 9, 9, 1))
        >>> labels, names = np.arange(6) % 2, ["cat", "dog"]
        >>> data = ImageData(images.astype(np.uint8), labels, names)
        >>> check = DataCheck.of(data, data.take([1, 2]), data.take([0, 1]))
        >>> check.target, check.in_target
        ({'cat': 1, 'dog': 1}, 1)
        """
        rng = np.random.default_rng(0)
        order = rng.permutation(len(test.labels))[:_SAMPLE]
        sample = test.take(np.sort(order))
        some = source
        if len(source.labels) > _MOST_SOURCE:
            order = rng.permutation(len(source.labels))[:_MOST_SOURCE]
            some = source.take(np.sort(order))
        in_source, in_target = (
            nearly_equal(sample.images, data.images)
            for data in (some, labelled)
        )
        found = in_target >= 0
        differs = labelled.labels[in_target] != sample.labels
        return cls(
            source=_counts(source),
            target=_counts(labelled),
            test=_counts(test),
            blank=sum(map(_blank, (some, labelled, test))),
            compared=len(sample.labels),
            in_source=int((in_source >= 0).sum()),
            in_target=int(found.sum()),
            other_label=int((found & differs).sum()),
        )

    def findings(self) -> list[str]:
        """Returns a sentence for each thing that is worth a look."""
        return [*self._sizes(), *self._copies()]

    def _sizes(self) -> Iterator[str]:
        for part, what in (
            ("source", "source"),
            ("target", "target"),
            ("test", "test part"),
        ):
            counts = getattr(self, part)
            few = sorted((n, name) for name, n in counts.items() if n < FEW)
            if few:
                named = [f"{name!r} has {n}" for n, name in few[:_NAMED]]
                named += ["..."] * bool(few[_NAMED:])
                yield (
                    f"classes of the {what} with fewer than {FEW} images: "
                    f"{len(few):,} of {len(counts):,} ({', '.join(named)})"
                )
        if self.blank:
            yield f"images of one colour: {self.blank:,}"

    def _copies(self) -> Iterator[str]:
        for count, what, meaning in (
            (
                self.in_source,
                "nearly the same as a source image",
                "accuracies may be too high",
            ),
            (
                self.in_target,
                "nearly the same as a labelled target image",
                "accuracies may be too high",
            ),
            (
                self.other_label,
                "with another label than nearly the same target image",
                "labels may be wrong",
            ),
        ):
            if count:
                yield (
                    f"test images {what}: {count:,} of {self.compared:,}; "
                    f"{meaning}"
                )

    @classmethod
    def from_json(
        cls, content: Any, path: str | os.PathLike | None = None
    ) -> "DataCheck":
        """Reads `data_check.json`; raises InputError for a damaged one."""
        fields = Fields(content, "data_check", path)
        values = {}
        for field in dataclasses.fields(cls):
            if field.type is int:
                values[field.name] = fields.integer(field.name, 0, _MOST_IMAGES)
                continue
            counts = fields.object(field.name)
            values[field.name] = {
                name: counts.integer(name, 0, _MOST_IMAGES)
                for name in counts.content
            }
        return cls(**values)


def nearly_equal(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Finds for each image one that is nearly the same.

    Two images are nearly the same if their pixels, averaged to 32x32 at most,
    have a correlation above .99: copies at another quality, size or
    brightness are.

    Args:
        images: `[N, H, W, channels]`.
        others: `[M, H, W, channels]`.

    Returns:
        The index of the most similar one of the others, or -1, `[N]`.
    """
    found = np.full(len(images), -1)
    if not len(others):
        return found
    best = np.full(len(images), _FINE)
    coarse, fine = (_standardised(images, side) for side in _SIDES)
    for first in range(0, len(others), _BLOCK):
        block = others[first : first + _BLOCK]
        alike = coarse @ _standardised(block, _SIDES[0]).T > _COARSE
        rows, columns = np.nonzero(alike)
        near, place = np.unique(columns, return_inverse=True)
        detailed = _standardised(block[near], _SIDES[1])
        for row, column, i in zip(rows, columns, place, strict=True):
            likeness = fine[row] @ detailed[i]
            if likeness > best[row]:
                best[row], found[row] = likeness, first + column
    return found


def _standardised(images: np.ndarray, side: int) -> np.ndarray:
    """Returns averaged pixels of mean 0 and norm 1, `[N, D]`.

    Those of an image of one colour are 0, which is like no other.
    """
    values = np.moveaxis(images, 3, 1).astype(np.float32)
    rows, columns = (_averaging(length, side) for length in images.shape[1:3])
    values = rows @ values @ columns.T
    values = values.reshape(len(images), np.prod(values.shape[1:]))
    values = values - values.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(norm > 1e-3, values / np.maximum(norm, 1e-3), 0)


def _averaging(length: int, side: int) -> np.ndarray:
    """Returns the matrix that averages neighbours, `[side or less, length]`."""
    cuts = np.linspace(0, length, min(side, length) + 1).astype(int)
    part = np.arange(length) - cuts[:-1, None]
    sizes = np.diff(cuts)[:, None]
    inside = (part >= 0) & (part < sizes)
    return (inside / sizes).astype(np.float32)


def _counts(data: ImageData) -> dict[str, int]:
    counts = np.bincount(data.labels, minlength=data.num_classes).tolist()
    return dict(zip(data.class_names, counts, strict=True))


def _blank(data: ImageData) -> int:
    """Returns the number of images whose pixels are all the same."""
    blank = 0
    for first in range(0, len(data.labels), _BLOCK):
        block = data.images[first : first + _BLOCK]
        same = block == block[:, :1, :1]
        blank += int(same.all(axis=(1, 2, 3)).sum())
    return blank
