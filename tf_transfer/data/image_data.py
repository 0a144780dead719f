"""Framed data sets: choosing, joining and batching their images."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_transfer.data import framing, shuffling
from tf_transfer.data.store import indexed
from tf_transfer.data.store.indexed import IndexedImages
from tf_transfer.errors import InputError
from tf_transfer.utils import checks, tf_data, weighting

_LETTERS = 16  # of a fingerprint
_BLOCK = 4096  # images that are hashed together
_READ_TOGETHER, _READ_VALUES = 512, 2**24  # images, or values of them
_MOST_NAMES = 20  # of classes, in an error
_LARGE = 2**14  # values of an image
_PARALLEL = 4  # batches of large images at a time
_READ_PARALLEL = 2  # as many batches as are read together


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images of one size, framing and value range.

    Attributes:
        images: `[N, size, size, channels]` uint8; an array, or
            `IndexedImages` of a data set that lies on the disk.
        labels: `[N]` int32.
        class_names: one name per class.
        test: indices of the data set's own test part, or None.
        frame: how the raw images were framed, which a served model repeats;
            None if that is unknown, or differs between the images.
        known_hash: SHA-256 of images, labels and names, if it was computed
            before.

    Raises:
        InputError: if images or labels have another type or shape.

    Example:

    >>> images = np.zeros((4, 8, 8, 1), np.uint8)
    >>> cats = ImageData(images, np.array([0, 1, 1, 1]), ["cat", "dog"])
    >>> cats.prior.tolist()
    [0.25, 0.75]
    """

    images: np.ndarray | IndexedImages
    labels: np.ndarray
    class_names: list[str]
    test: np.ndarray | None = None
    frame: framing.Frame | None = None
    known_hash: str = dataclasses.field(default="", repr=False)

    def __post_init__(self):
        if np.shape(self.labels) != np.shape(self.images)[:1]:
            raise InputError(
                "There must be one label per image. Received: images of shape "
                f"{np.shape(self.images)}, labels of {np.shape(self.labels)}"
            )
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise InputError(
                "Images must be uint8 of shape [N, size, size, channels]; see "
                "`load` and `from_dataset`. Received: "
                f"{self.images.dtype} of shape {self.images.shape}"
            )
        checks.check_labels(self.labels, self.num_classes)

    def fingerprint(self) -> str:
        """Returns a hash of images, labels and class names."""
        if self.known_hash:
            return self.known_hash[:_LETTERS]
        digest, name = hashlib.sha256(), ""
        if isinstance(self.images, IndexedImages):
            name = self.images.name()
        if name:
            digest.update(name.encode())
        else:
            for first in range(0, len(self.labels), _BLOCK):
                block = self.images[first : first + _BLOCK]
                digest.update(np.ascontiguousarray(block))
        digest.update(np.ascontiguousarray(self.labels))
        # A folder's name may hold bytes that are no UTF-8.
        names = "\n".join(self.class_names)
        digest.update(names.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:_LETTERS]

    def digests(self) -> np.ndarray:
        """Returns a number for the content of each image, `[N]` uint64.

        Images that are decoded whenever they are read have none.
        """
        if isinstance(self.images, IndexedImages):
            return self.images.digests()
        return indexed.digests(self.images)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def prior(self) -> np.ndarray:
        """Share of every class, `[num_classes]`."""
        return weighting.source_prior(self.labels, self.num_classes)

    def take(self, indices: np.ndarray) -> "ImageData":
        """Returns the images of some indices, without a test part."""
        return ImageData(
            self._images_of(indices),
            self.labels[indices],
            self.class_names,
            frame=self.frame,
        )

    def _images_of(self, indices: np.ndarray) -> np.ndarray | IndexedImages:
        """Returns the images of some indices; those on the disk stay there."""
        if isinstance(self.images, IndexedImages):
            return self.images.take(indices)
        return self.images[indices]

    def train_part(self) -> "ImageData":
        """Returns everything outside the data set's own test part."""
        if self.test is None:
            return self
        rest = np.setdiff1d(np.arange(len(self.labels)), self.test)
        return self.take(rest)

    def only(self, names: Sequence[str]) -> "ImageData":
        """Returns the images of the classes with these names.

        The order of images and classes stays, and so does the test part.

        Raises:
            InputError: if no class has one of the names.
        """
        unknown = [name for name in names if name not in self.class_names]
        if unknown:
            choices = ", ".join(self.class_names[:_MOST_NAMES])
            more = ", ..." if self.num_classes > _MOST_NAMES else ""
            raise InputError(
                f"There is no such class; there are {choices}{more}. "
                f"Received: {unknown[0]!r}"
            )
        chosen = [c for c, n in enumerate(self.class_names) if n in set(names)]
        indices = np.flatnonzero(np.isin(self.labels, chosen))
        test = self.test
        if test is not None:
            test = np.flatnonzero(np.isin(indices, test))
        return ImageData(
            self._images_of(indices),
            np.searchsorted(chosen, self.labels[indices]).astype(np.int32),
            [self.class_names[c] for c in chosen],
            test,
            self.frame,
        )

    def batches(self, batch_size: int = 512) -> tf.data.Dataset:
        """Returns one pass over `(images in 0..1, labels)`, in order."""
        if batch_size not in self._ordered:  # all evaluations share it
            places = tf.data.Dataset.range(len(self.labels)).batch(batch_size)
            self._ordered[batch_size] = self.gather(places)
        return self._ordered[batch_size]

    def __getstate__(self) -> dict:
        """Returns what another process needs: all but the cached tensors."""
        cached = ("_ordered", "_stored")
        return {k: v for k, v in self.__dict__.items() if k not in cached}

    @functools.cached_property
    def _ordered(self) -> dict[int, tf.data.Dataset]:
        return {}

    def shuffled_batches(self, batch_size: int, seed: int) -> tf.data.Dataset:
        """Returns endless `(images in 0..1, labels)`, reshuffled each epoch.

        Give `fit` its `steps_per_epoch`.
        """
        count = len(self.labels)
        return self.gather(
            shuffling.shuffled(count, batch_size=batch_size, seed=seed)
        )

    @functools.cached_property
    def _stored(self) -> tuple[tf.Variable | None, tf.Variable]:
        """The images, unless they lie on the disk, and the labels."""
        # As a constant they would be copied into the graph, limited to 2 GB.
        with tf.device("CPU"):
            images = None
            if isinstance(self.images, np.ndarray):
                images = tf.Variable(self.images, trainable=False)
            return images, tf.Variable(self.labels, trainable=False)

    def gather(
        self, indices: tf.data.Dataset, rows: np.ndarray | None = None
    ) -> tf.data.Dataset:
        """Turns batches of indices `[B]` into `(images in 0..1, labels)`.

        Args:
            indices: the batches.
            rows: which rows of a batch are used, `[B]` bool; of images that
                are not in memory, the others are black. None for all.
        """
        images, labels = self._stored
        # For small images, threads cost more time than they save.
        large = np.prod(self.images.shape[1:]) > _LARGE
        parallel = _PARALLEL if large else None

        def look_up(index):
            return scaled(tf.gather(images, index), index)

        def scaled(pixels, index):
            return tf.cast(pixels, tf.float32) / 255.0, tf.gather(labels, index)

        if images is None:
            batches = self._read(indices, rows).map(scaled, parallel)
        else:
            batches = indices.map(look_up, parallel)
        return tf_data.quiet(batches.prefetch(2))

    def _read(
        self, indices: tf.data.Dataset, rows: np.ndarray | None
    ) -> tf.data.Dataset:
        """Returns the images on the disk `[B, ...]` uint8, and the indices."""
        shape, size = self.images.shape[1:], indices.element_spec.shape[0]

        def some(places):
            images = np.zeros((*places.shape, *shape), np.uint8)
            images[..., rows, :, :, :] = every(places[..., rows])
            return images

        def every(places):
            return self.images[places.ravel()].reshape(*places.shape, *shape)

        pixels = every if rows is None else some

        def read(index):
            images = tf.numpy_function(pixels, [index], tf.uint8, False)
            return tf.ensure_shape(images, [*index.shape, *shape]), index

        parallel = _READ_PARALLEL if np.prod(shape) > _LARGE else None
        if size is None:  # batches of several sizes
            return indices.map(read, parallel)
        # Calls of Python cost as much as what they read.
        most = min(_READ_TOGETHER, _READ_VALUES // int(np.prod(shape)))
        several = indices.batch(max(1, most // size))
        return several.map(read, parallel).prefetch(1).unbatch()


def join(parts: Sequence[ImageData]) -> ImageData:
    """Joins data sets, keeping their classes apart."""
    first, *others = parts
    if not others:
        return first
    labels, offset, tests, start = [], 0, [], 0
    for part in parts:
        labels.append(part.labels + offset)
        offset += part.num_classes
        if part.test is not None:
            tests.append(part.test + start)
        start += len(part.labels)
    return ImageData(
        indexed.joined([part.images for part in parts]),
        np.concatenate(labels),
        [name for part in parts for name in part.class_names],
        np.concatenate(tests) if tests else None,
    )
