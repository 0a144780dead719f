"""Sets that tensorflow-datasets has prepared, `tfds:NAME`."""

import re
from collections.abc import Sequence

import numpy as np

from tf_transfer.data.raw.formats import tfrecords
from tf_transfer.data.raw.image_files import (
    MAX_PIXELS,
    EncodedImages,
    RawImages,
)
from tf_transfer.errors import InputError
from tf_transfer.utils import messages

_TFRECORDS = ("tfrecord",)
_TFDS_NAME = re.compile(r"[\w./-]+(:[\d.*]+)?")


def load_tfds(name: str, max_pixels: int = MAX_PIXELS) -> RawImages:
    """Loads a prepared tensorflow-datasets set; downloads nothing."""
    import tensorflow_datasets as tfds

    if not _TFDS_NAME.fullmatch(name):
        raise InputError(
            "A tensorflow-datasets set is named NAME, NAME/CONFIG or "
            "NAME:VERSION; a namespace such as `huggingface:` would ask a "
            f"server. Received: tfds:{name}"
        )
    try:
        builder = tfds.builder(name)
        prepared = builder.is_prepared()
    except Exception as error:
        raise InputError(
            f"tensorflow-datasets has no such data set "
            f"({messages.first_line(error)}). Received: tfds:{name}"
        ) from error
    if not prepared:
        raise InputError(
            "The tensorflow-datasets set is not prepared on this machine; "
            f"run `tfds build {name}` where there is a network, then copy "
            f"{builder.data_dir}. Received: tfds:{name}"
        )
    features = builder.info.features
    types = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    if not all(
        key in features and isinstance(features[key], feature_type)
        for key, feature_type in types.items()
    ):
        raise InputError(
            "The tensorflow-datasets set must have an image 'image' and a "
            f"class 'label'. Received: tfds:{name} with {sorted(features)}"
        )
    names = list(features["label"].names)
    splits = sorted(builder.info.splits, key=lambda name: name == "test")
    kind = builder.info.file_format
    if kind is not None and kind.value in _TFRECORDS:
        read = _from_tfrecords
    else:
        read = _by_index
    items, labels, counts = read(builder, splits)
    test = None
    if "test" in splits:
        test = np.arange(sum(counts[:-1]), sum(counts))
    images = EncodedImages(items, max_pixels)
    files = [
        str(path)
        for split in splits
        for path in builder.info.splits[split].filepaths
    ]
    return RawImages(images, labels, names, test, files)


def _from_tfrecords(builder, splits: Sequence[str]):
    """Returns the images, labels and counts of splits in TFRecord files."""
    paths, counts = [], []
    for split in splits:
        info = builder.info.splits[split]
        paths += [str(path) for path in info.filepaths]
        counts.append(info.num_examples)
    items, labels, _ = tfrecords.read(paths, "image", "label")
    return items, labels.astype(np.int32), counts


class _Items(Sequence):
    """The encoded images of random-access sources, one after the other."""

    def __init__(self, sources: Sequence[Sequence[dict]]):
        self._sources = sources
        self._starts = np.cumsum([0, *map(len, sources)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> bytes:
        return self.example(index)["image"]

    def example(self, index: int) -> dict:
        """Returns an example, with its image still encoded."""
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._sources[part][index - int(self._starts[part])]

    def name(self, index: int) -> str:
        """Returns how an image is named in messages."""
        return f"image {index}"


def _by_index(builder, splits: Sequence[str]):
    """Returns the images, labels and counts of splits read by index."""
    import tensorflow_datasets as tfds

    decoders = {"image": tfds.decode.SkipDecoding()}
    sources = [
        builder.as_data_source(split, decoders=decoders) for split in splits
    ]
    items = _Items(sources)
    labels = [items.example(i)["label"] for i in range(len(items))]
    return items, np.array(labels, np.int32), [len(each) for each in sources]
