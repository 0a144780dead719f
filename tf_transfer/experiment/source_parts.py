"""The parts of the source: to train with, and to measure the generalist."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tf_transfer.config import Datl
from tf_transfer.data import splits
from tf_transfer.data.image_data import ImageData

_HELD_OUT = 0.1
_PER_CLASS = 20
_COMPARED = 5_000


@dataclasses.dataclass(frozen=True)
class SourceParts:
    """The source of one seed.

    Attributes:
        train: the images to train with.
        held_out: images that are not trained with; None if none are needed.
        seed: of what is drawn.
        compares: whether the estimator compares target and source images.
        places: of the images to train with in the whole source; None if these
            are all.
    """

    train: ImageData
    held_out: ImageData | None
    seed: int
    compares: bool
    places: np.ndarray | None = None

    @classmethod
    def of(cls, source: ImageData, datl: Datl, seed: int) -> "SourceParts":
        """Divides a source as the settings need it."""
        compares = datl.estimator == "lift"
        if not (datl.calibrate or datl.estimator == "bbse"):
            return cls(source, None, seed, compares)
        rest, held_out = splits.hold_out(source, _HELD_OUT, seed)
        parts = source.take(rest), source.take(held_out)
        return cls(*parts, seed, compares, rest)

    @functools.cached_property
    def sample(self) -> tf.data.Dataset:
        """Some training images of every class, in batches."""
        labels = self.train.labels
        chosen = splits.draw_per_class(labels, _PER_CLASS, self.seed)
        return self.train.take(chosen).batches()

    @functools.cached_property
    def compared(self) -> tf.data.Dataset | None:
        """The source images that the estimator needs, in batches."""
        if self.held_out is not None:
            return self.held_out.batches()
        if not self.compares:
            return None
        count = len(self.train.labels)
        order = np.random.default_rng(self.seed).permutation(count)
        return self.train.take(np.sort(order[:_COMPARED])).batches()
