"""Labelled images that a program gives, one at a time or by index."""

import array
import tempfile
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.errors import InputError
from tf_transfer.utils import tf_data

_KEYS = ("image", "label")
_MOST_MEMORY = 2**28  # bytes of images that are kept without a file


class _Spooled(Sequence):
    """Images of any sizes, written one after the other and read by index.

    They are in memory as long as they are few, and then in a file without a
    name, which ends with this object.
    """

    def __init__(self):
        self._file = tempfile.SpooledTemporaryFile(_MOST_MEMORY)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._starts = array.array("q", [0])
        self._kinds: dict[tuple, int] = {}
        self._kind = array.array("l")

    def append(self, image: np.ndarray) -> None:
        kind = image.dtype.str, image.shape
        self._kind.append(self._kinds.setdefault(kind, len(self._kinds)))
        self._file.write(np.ascontiguousarray(image).data)
        self._starts.append(self._starts[-1] + image.nbytes)
        self._known = list(self._kinds)

    def __len__(self) -> int:
        return len(self._kind)

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        dtype, shape = self._known[self._kind[index]]
        size = self._starts[index + 1] - self._starts[index]
        with self._lock:
            self._file.seek(self._starts[index])
            content = self._file.read(size)
        return np.frombuffer(content, dtype).reshape(shape)


class _ByIndex(Sequence):
    """The images of a random-access source."""

    def __init__(self, source: Any):
        self._source = source
        self._lock = threading.Lock()  # nobody knows whether it needs one

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        with self._lock:
            example = self._source[index]
        return np.asarray(_pair(example)[0])


def is_source(data: Any) -> bool:
    """Returns whether `read` may take something."""
    by_index = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    return isinstance(data, tf.data.Dataset) or by_index


def read(data: Any, class_names: Sequence[str] = ()) -> RawImages:
    """Reads the labels of a source, and makes its images readable by index.

    Args:
        data: a finite `tf.data.Dataset` of single examples, which is passed
            over once and kept in memory or in a temporary file; or a source
            with `__len__` and `__getitem__`, such as those of
            tensorflow-datasets and grain, whose images are read when they are
            needed. An example is `(image, class number)`, or a dict with
            `image` and `label`. Images are `[H, W]` or `[H, W, channels]` of
            any sizes.
        class_names: one name per class; if there are none, those of the
            source, or else the numbers.

    Raises:
        InputError: if the source is endless, empty, or yields something else.
    """
    if isinstance(data, tf.data.Dataset):
        images, labels = _spool(data)
    elif is_source(data):
        images = _ByIndex(data)
        labels = [_label(_pair(data[i])[1]) for i in range(len(data))]
    else:
        raise InputError(
            "Data must be ImageData, a tf.data.Dataset, or have `__len__` and "
            f"`__getitem__`. Received: {type(data).__name__}"
        )
    if not labels:
        raise InputError("There must be examples. Received: 0 of them")
    names = list(class_names) or _names(data)
    names = names or [str(each) for each in range(max(labels) + 1)]
    return RawImages(images, np.array(labels), [str(name) for name in names])


def _spool(dataset: tf.data.Dataset) -> tuple[_Spooled, list[int]]:
    """Returns the images and labels of a finite dataset."""
    spec = dataset.element_spec
    if isinstance(spec, dict) and set(_KEYS) <= set(spec):
        dataset = dataset.map(lambda example: tuple(example[k] for k in _KEYS))
    tf_data.check_labelled(
        dataset,
        "dataset",
        "(image, class number), one at a time",
        batched=False,
        pairs=True,
    )
    tf_data.check_finite(dataset, "dataset")
    images, labels = _Spooled(), []
    for image, label in dataset.as_numpy_iterator():
        images.append(image)
        labels.append(label)
    return images, labels


def _pair(example: Any) -> tuple[Any, Any]:
    """Returns the image and the label of an example."""
    if isinstance(example, dict) and set(_KEYS) <= set(example):
        return example["image"], example["label"]
    if isinstance(example, tuple | list) and len(example) == 2:
        return example[0], example[1]
    raise InputError(
        "An example must be (image, class number), or a dict with `image` and "
        f"`label`. Received: {type(example).__name__}"
    )


def _label(label: Any) -> int:
    """Returns a class number."""
    number = np.asarray(label)
    if number.shape != () or number.dtype.kind not in "iu":
        raise InputError(f"Labels must be class numbers. Received: {label!r}")
    return int(number)


def _names(data: Any) -> Iterable[str]:
    """Returns the class names that a source knows, if it does."""
    names = getattr(data, "class_names", None)
    info = getattr(data, "dataset_info", None)
    if names is None and info is not None:
        names = getattr(info.features.get("label"), "names", None)
    return list(names or ())
