"""Images in TFRecord files of `tf.train.Example`, read by index.

`tfrecord:GLOB` or `tfrecord:GLOB,OPTION=VALUE,...` with the options

`image`   the feature with the encoded image; by default `image/encoded`, or
          else `image` or `image_raw`
`label`   the feature with the class, a number or a text; by default
          `image/class/label`, or else `label`
`text`    the feature with the name of the class; by default
          `image/class/text` where it is there and `label` is not given
`names`   a text file with a class name in each line, in the order of the
          numbers, which count from 0 or from 1
`test`    GLOB of the files of the test part
"""

import glob
import mmap
import os
import struct
from collections.abc import Sequence

import numpy as np

from tf_transfer.data.raw.formats import named_options
from tf_transfer.data.raw.image_files import (
    MAX_PIXELS,
    EncodedImages,
    RawImages,
    UnreadableImageError,
)
from tf_transfer.errors import InputError
from tf_transfer.utils import messages
from tf_transfer.utils.storage import files as storage_files

_OPTIONS = ("image", "label", "text", "names", "test")
_IMAGE = ("image/encoded", "image", "image_raw")
_LABEL = ("image/class/label", "label")
_TEXT = "image/class/text"
_HEADER = struct.Struct("<QI")  # the length of a record, and its checksum
_FOOTER = 4  # bytes of the checksum of a record
_GZIP = b"\x1f\x8b"
_BATCH = 1024
_MOST_NAMES = 2**26  # bytes of a file of names


class RecordItems(Sequence):
    """The encoded images of TFRecord files, each read when asked for.

    Args:
        paths: of the files.
        file: the number of its file for each record, `[N]`.
        place: where each record starts in its file, `[N]`.
        length: bytes of each record, `[N]`.
        feature: that holds the image.
    """

    def __init__(
        self,
        paths: Sequence[str],
        file: np.ndarray,
        place: np.ndarray,
        length: np.ndarray,
        feature: str,
    ):
        self._paths, self._feature = paths, feature
        self._file, self._place, self._length = file, place, length
        self._open: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._file)

    def __getitem__(self, index: int) -> bytes:
        number = int(self._file[index])
        if number not in self._open:
            flags = os.O_RDONLY | os.O_CLOEXEC
            self._open[number] = os.open(self._paths[number], flags)
        record = os.pread(
            self._open[number],
            int(self._length[index]),
            int(self._place[index]),
        )
        values = _example(record).features.feature[self._feature].bytes_list
        if not values.value:
            raise UnreadableImageError("The record has no image.")
        return values.value[0]

    def __del__(self):
        for descriptor in self._open.values():
            os.close(descriptor)

    def before(self, file: int) -> int:
        """Returns the number of records in the files before one."""
        return int(np.searchsorted(self._file, file))

    def name(self, index: int) -> str:
        """Returns how a record is named in messages."""
        number = self._file[index]
        place = index - self.before(number)
        return f"{self._paths[number]}, record {place}"


def load_tfrecord(name: str, max_pixels: int = MAX_PIXELS) -> RawImages:
    """Finds the images of TFRecord files, and reads their labels.

    Args:
        name: see this module's docstring.
        max_pixels: an image with more pixels is refused when it is read.

    Raises:
        InputError: if there are no such files, one is damaged or compressed,
            or a feature or class name is missing.
    """
    pattern, options = named_options.parse(name, _OPTIONS)
    paths, start = _paths(pattern), None
    if "test" in options:
        others = _paths(options["test"])
        paths = [path for path in paths if path not in others]
        start, paths = len(paths), [*paths, *others]
    features = _features(paths)
    image = _chosen(features, options, "image", _IMAGE, pattern)
    label = _chosen(features, options, "label", _LABEL, pattern)
    text = options.get("text", "")
    if not text and "label" not in options and _TEXT in features:
        text = _TEXT
    items, labels, texts = read(paths, image, label, text)
    numbers, names = _classes(labels, texts, options.get("names", ""))
    test = None
    if start is not None:
        test = np.arange(items.before(start), len(items))
    files = [*paths, *filter(None, [options.get("names")])]
    images = EncodedImages(items, max_pixels)
    return RawImages(images, numbers, names, test, files)


def read(
    paths: Sequence[str], image: str, label: str, text: str = ""
) -> tuple[RecordItems, np.ndarray, np.ndarray]:
    """Reads the labels of records, and finds their images.

    Args:
        paths: of the files.
        image: the feature with the encoded image.
        label: the feature with the class.
        text: the feature with the name of the class; empty if there is none.

    Returns:
        The images, the labels, and the texts of their classes, each `[N]`;
        there are no texts if `text` is empty, and the labels are no texts.

    Raises:
        InputError: if a file or a record is damaged, or lacks the label.
    """
    where = [_records(path) for path in paths]
    items = RecordItems(
        paths,
        np.repeat(
            np.arange(len(paths), dtype=np.int32),
            [len(places) for places, _ in where],
        ),
        np.concatenate([places for places, _ in where]),
        np.concatenate([lengths for _, lengths in where]),
        image,
    )
    labels, texts = _labels(paths, label, text, len(items))
    return items, labels, texts


def _paths(pattern: str) -> list[str]:
    paths = sorted(p for p in glob.glob(pattern) if os.path.isfile(p))
    if not paths:
        raise InputError(
            f"There are no such TFRecord files. Received: tfrecord:{pattern}"
        )
    return paths


def _records(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns where the records of a file start, and their lengths."""
    places, lengths, size = [], [], os.path.getsize(path)
    if not size:
        return np.zeros(0, np.int64), np.zeros(0, np.int32)
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        if content[:2] == _GZIP:
            raise InputError(
                "A compressed TFRecord file cannot be read by index; use "
                f"gunzip first. Received: {path}"
            )
        place = 0
        while place < size:
            if place + _HEADER.size > size:
                raise _damaged(path)
            length, _ = _HEADER.unpack_from(content, place)
            start = place + _HEADER.size
            place = start + length + _FOOTER
            if place > size:
                raise _damaged(path)
            places.append(start)
            lengths.append(length)
    return np.array(places, np.int64), np.array(lengths, np.int32)


def _damaged(path: str) -> InputError:
    return InputError(
        f"The file is cut off, or no TFRecord file. Received: {path}"
    )


def _example(record: bytes):
    import tensorflow as tf

    try:
        return tf.train.Example.FromString(record)
    except Exception as error:  # of a type that protobuf does not promise
        raise UnreadableImageError(
            "The record is no tf.train.Example."
        ) from error


def _features(paths: Sequence[str]) -> dict[str, str]:
    """Returns the kinds of the features of the first record, by name."""
    import tensorflow as tf

    for path in paths:
        try:
            for record in tf.data.TFRecordDataset(path).take(1):
                return {
                    name: feature.WhichOneof("kind") or "empty"
                    for name, feature in _example(
                        record.numpy()
                    ).features.feature.items()
                }
        except (tf.errors.OpError, UnreadableImageError) as error:
            _records(path)  # whose errors are clearer
            raise InputError(
                "The TFRecord file is damaged, or holds no tf.train.Example. "
                f"Received: {path}"
            ) from error
    raise InputError(f"The TFRecord files are empty. Received: {paths[0]}")


def _chosen(
    features: dict[str, str],
    options: dict[str, str],
    part: str,
    defaults: Sequence[str],
    pattern: str,
) -> str:
    """Returns the name of the feature for a part."""
    wanted = [options[part]] if part in options else defaults
    kinds = ("bytes_list",) if part == "image" else ("bytes_list", "int64_list")
    for name in wanted:
        if features.get(name) in kinds:
            return name
    raise InputError(
        f"There is no feature {' or '.join(wanted)} that can be the {part}; "
        f"name it by tfrecord:{pattern},{part}=FEATURE. Received: features "
        f"{', '.join(sorted(features)) or 'none'}"
    )


def _labels(
    paths: Sequence[str], label: str, text: str, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the labels of all records, and the texts of their classes."""
    import tensorflow as tf

    is_text = _features(paths).get(label) == "bytes_list"
    dtype = tf.string if is_text else tf.int64
    spec = {label: tf.io.FixedLenFeature([], dtype)}
    if text and text != label:
        spec[text] = tf.io.FixedLenFeature([], tf.string, "")
    dataset = tf.data.TFRecordDataset(list(paths)).batch(_BATCH)
    found = {name: [] for name in spec}
    try:
        for batch in dataset.map(lambda r: tf.io.parse_example(r, spec)):
            for name, values in batch.items():
                found[name].append(values.numpy())
    except tf.errors.OpError as error:
        raise InputError(
            f"The records cannot be read, or not all have the feature {label} "
            f"with one value ({messages.first_line(error)}). "
            f"Received: {paths[0]}"
        ) from error
    columns = {name: np.concatenate(values) for name, values in found.items()}
    labels = columns[label]
    if len(labels) != count:
        raise _damaged(paths[0])
    texts = columns.get(text, labels if is_text else np.array([], object))
    return labels, texts


def _classes(
    labels: np.ndarray, texts: np.ndarray, path: str
) -> tuple[np.ndarray, list[str]]:
    """Returns class numbers from 0, and the names of the classes."""
    values, first, numbers = np.unique(
        labels, return_index=True, return_inverse=True
    )
    numbers = numbers.astype(np.int32)
    if not path:
        names = [_text(value) for value in values]
        named = [_text(texts[i]) for i in first] if len(texts) else names
        if all(named) and len(set(named)) == len(named):
            names = named
        return numbers, names
    content = storage_files.read_regular(path, _MOST_NAMES)
    names = [_text(line) for line in content.splitlines()]
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"Classes that are texts need no file of names. Received: {path}"
        )
    low, high = int(values[0]), int(values[-1])
    # Some sets count their classes from 1.
    offset = int(low >= 1 and high == len(names))
    if low < 0 or high - offset >= len(names):
        raise InputError(
            "There must be a line with a name for each class number. Received: "
            f"{path} with {len(names)} lines, and classes {low} to {high}"
        )
    return (labels - offset).astype(np.int32), names


def _text(value) -> str:
    return (
        value.decode("utf-8", "replace").strip()
        if isinstance(value, bytes)
        else str(value)
    )
