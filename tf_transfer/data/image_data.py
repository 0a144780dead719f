"""Framed data sets in memory: loading, joining and batching.

When data sets are joined (`"glyphs+npz:more.npz"`), their classes stay apart,
and each is measured and framed on its own (see `framing`).
"""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_transfer.data import framing, shuffling
from tf_transfer.data.raw import image_files, loaders, reading
from tf_transfer.errors import InputError
from tf_transfer.utils import checks, environment, tf_data, weighting

_MEASURED = 1000
# A path may contain a plus, too.
_JOINT = re.compile(rf"\+(?=(?:{'|'.join(loaders.LOADERS)})(?:[:+]|$))")
_MEMORY_SHARE = 0.5
_MOST_NAMES = 20  # of classes, in an error
_LARGE = 2**14  # values of an image
_PARALLEL = 4  # batches of large images at a time


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images of one size, framing and value range.

    Attributes:
        images: `[N, size, size, channels]` uint8.
        labels: `[N]` int32.
        class_names: one name per class.
        test: indices of the data set's own test part, or None.
        frame: how the raw images were framed, which a served model repeats;
            None if that is unknown, or differs between the images.

    Raises:
        InputError: if images or labels have another type or shape.

    Example:

    >>> images = np.zeros((4, 8, 8, 1), np.uint8)
    >>> cats = ImageData(images, np.array([0, 1, 1, 1]), ["cat", "dog"])
    >>> cats.prior.tolist()
    [0.25, 0.75]
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    test: np.ndarray | None = None
    frame: framing.Frame | None = None

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
        digest = hashlib.sha256()
        digest.update(np.ascontiguousarray(self.images))
        digest.update(np.ascontiguousarray(self.labels))
        # A folder's name may hold bytes that are no UTF-8.
        names = "\n".join(self.class_names)
        digest.update(names.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]

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
            self.images[indices],
            self.labels[indices],
            self.class_names,
            frame=self.frame,
        )

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
            self.images[indices],
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
    def _stored(self) -> tuple[tf.Variable, tf.Variable]:
        # As a constant they would be copied into the graph, limited to 2 GB.
        with tf.device("CPU"):
            return (
                tf.Variable(self.images, trainable=False),
                tf.Variable(self.labels, trainable=False),
            )

    def gather(self, indices: tf.data.Dataset) -> tf.data.Dataset:
        """Turns batches of indices `[B]` into `(images in 0..1, labels)`."""
        images, labels = self._stored

        def look_up(index):
            unit = tf.cast(tf.gather(images, index), tf.float32) / 255.0
            return unit, tf.gather(labels, index)

        # For small images, threads cost more time than they save.
        parallel = _PARALLEL if np.prod(images.shape[1:]) > _LARGE else None
        return tf_data.quiet(indices.map(look_up, parallel).prefetch(2))


def load(
    name: str,
    size: int,
    channels: int,
    align: bool = True,
    max_pixels: int = image_files.MAX_PIXELS,
    damaged: str = "refuse",
) -> ImageData:
    """Loads data sets by name (see `loaders`) and frames them.

    Args:
        name: one data set, or several joined by `+`.
        size: side of the framed images in pixels.
        channels: 1 for grey, 3 for colour.
        align: False skips measuring: every image is scaled to the frame.
        max_pixels: an encoded image with more pixels is refused before it is
            decoded.
        damaged: `refuse` data with image files that cannot be read, or `skip`
            them with a warning.

    Returns:
        The images, `[N, size, size, channels]` uint8, with their labels.

    Raises:
        InputError: if the name is unknown, or the data cannot be read or
            framed.

    Example:

    >>> load("digits", size=12, channels=1).images.shape
    (1797, 12, 12, 1)
    """
    parts = (
        (loaders.load(part, max_pixels), part) for part in part_names(name)
    )
    return join(
        [
            frame(raw, size, channels, align, part, damaged)
            for raw, part in parts
        ]
    )


def part_names(name: str) -> list[str]:
    """Splits a name at the plus signs that join data sets."""
    return _JOINT.split(name)


def frame(
    raw: image_files.RawImages,
    size: int,
    channels: int,
    align: bool = True,
    name: str = "data",
    damaged: str = "refuse",
) -> ImageData:
    """Measures one data set on a sample of its images and frames them all."""
    count = len(raw.labels)
    if not count:
        raise InputError(f"The data set has no images. Received: {name!r}")
    _check_memory(count * size * size * channels, name)
    # Test images must not influence the framing.
    pool = raw.outside_test()
    pool = pool if len(pool) else np.arange(count)
    sample = np.random.default_rng(0).permutation(pool)[:_MEASURED]
    reader = reading.ImageReader(raw.images)
    try:
        images = reader.sample(sample)
        appearance = framing.measure(images, reader.maximum)
        if not align:
            appearance = framing.Appearance(appearance.maximum)
        framer = framing.Frame(size, channels, appearance)
        images = framer.all(reader)
        kept = reader.check(skip=damaged == "skip")
        labels = np.asarray(raw.labels)
        checks.check_labels(labels, len(raw.class_names))
    except InputError as error:
        raise InputError(f"Data set {name!r}: {error}") from error
    labels, test = labels.astype(np.int32), raw.test
    if len(kept) < count:
        images, labels = images[kept], labels[kept]
        if test is not None:
            test = np.flatnonzero(np.isin(kept, test))
    return ImageData(images, labels, raw.class_names, test, framer)


def _check_memory(needed: int, name: str) -> None:
    if needed > _MEMORY_SHARE * environment.memory():
        raise InputError(
            "The framed images would fill more than half of the memory; use "
            "a smaller `image_size`, or `ImportanceWeights` with your own "
            f"tf.data pipeline. Received: {name!r}, {needed / 2**30:.1f} GiB"
        )


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
        np.concatenate([part.images for part in parts]),
        np.concatenate(labels),
        [name for part in parts for name in part.class_names],
        np.concatenate(tests) if tests else None,
    )


def from_dataset(
    dataset: tf.data.Dataset,
    class_names: Sequence[str],
    size: int,
    channels: int,
    align: bool = True,
) -> ImageData:
    """Collects a tf.data.Dataset of `(image, label)` and frames it.

    Args:
        dataset: single examples: images `[H, W, channels]` of any size, and
            class numbers.
        class_names: one name per class.
        size: side of the framed images in pixels.
        channels: 1 for grey, 3 for colour.
        align: as in `load`.

    Returns:
        The images, `[N, size, size, channels]` uint8, with their labels.

    Raises:
        InputError: if the dataset is endless, yields something else, or its
            images cannot be framed.

    Example:

    >>> raw = np.zeros((4, 20, 16, 1), np.uint8), [0, 1, 0, 1]
    >>> dataset = tf.data.Dataset.from_tensor_slices(raw)
    >>> from_dataset(dataset, ["cat", "dog"], size=8, channels=1).images.shape
    (4, 8, 8, 1)
    """
    tf_data.check_labelled(
        dataset,
        "dataset",
        "(image, class number), one at a time",
        batched=False,
        pairs=True,
    )
    tf_data.check_finite(dataset, "dataset")
    images, labels = [], []
    for image, label in dataset.as_numpy_iterator():
        images.append(image)
        labels.append(label)
    raw = image_files.RawImages(images, np.array(labels), list(class_names))
    return frame(raw, size, channels, align, name="tf.data.Dataset")
