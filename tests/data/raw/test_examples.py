import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.data import loading
from tf_transfer.data.raw import examples
from tf_transfer.data.store import cache
from tf_transfer.data.store.indexed import IndexedImages
from tf_transfer.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = [
    RNG.integers(0, 256, (6 + i % 3, 7, 3)).astype(np.uint8) for i in range(12)
]
LABELS = [i % 2 for i in range(12)]


class ByIndex:
    """A random-access source, as tensorflow-datasets and grain have them."""

    class_names = ("cat", "dog")

    def __init__(self, example=lambda i: (IMAGES[i], LABELS[i])):
        self.example = example

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        return self.example(index)


def dataset(keys=False):
    def generate():
        yield from zip(IMAGES, LABELS, strict=True)

    spec = tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int64)
    pairs = tf.data.Dataset.from_generator(generate, output_signature=spec)
    if not keys:
        return pairs
    return pairs.map(lambda x, y: {"label": y, "image": x, "id": y})


def as_dict(i):
    return {"image": IMAGES[i], "label": np.int64(LABELS[i]), "id": i}


@pytest.mark.parametrize("most", [10, 2**20])
@pytest.mark.parametrize(
    "source", [dataset(), dataset(keys=True), ByIndex(), ByIndex(as_dict)]
)
def test_examples_are_read_by_index(source, most, monkeypatch):
    """From memory, and from a temporary file."""
    monkeypatch.setattr(examples, "_MOST_MEMORY", most)
    raw = examples.read(source)
    np.testing.assert_array_equal(raw.labels, LABELS)
    for i in (11, 0, 5, 5):
        np.testing.assert_array_equal(raw.images[i], IMAGES[i])
    with pytest.raises(IndexError):
        raw.images[12]
    named = isinstance(source, ByIndex)
    assert raw.class_names == (["cat", "dog"] if named else ["0", "1"])
    assert examples.read(source, ["a", "b"]).class_names == ["a", "b"]


def test_what_is_no_labelled_image_is_refused():
    for data, message in (
        (3, "have `__len__` and `__getitem__`. Received: int"),
        (dataset().repeat(), "dataset must end"),
        (dataset().batch(2), "one at a time"),
        (dataset().take(0), "must be examples"),
        ([], "must be examples"),
        ([1, 2], r"An example must be \(image, class number\).*Received: int"),
        ([{"image": 1}], "Received: dict"),
        ([(IMAGES[0], 0.5)], r"class numbers. Received: 0\.5"),
        ([(IMAGES[0], [0, 1])], "class numbers"),
    ):
        with pytest.raises(InputError, match=message):
            examples.read(data)


@pytest.mark.parametrize("source", [dataset(), ByIndex()])
def test_large_sources_are_stored_for_the_time_being(
    source, tmp_path, monkeypatch
):
    removed = []
    monkeypatch.setattr(
        "atexit.register", lambda *args, **kwargs: removed.append(args)
    )
    settings = {"size": 8, "channels": 3, "cache": str(tmp_path)}
    disk = loading.from_dataset(source, memory_share=0, **settings)
    memory = loading.from_dataset(source, **settings)
    assert isinstance(disk.images, IndexedImages)
    np.testing.assert_array_equal(disk.images[:], memory.images)
    assert disk.fingerprint() == memory.fingerprint()
    (name,) = cache.contents(tmp_path)
    assert name.startswith("temporary-")
    function, path = removed[0]
    function(path)
    assert cache.contents(tmp_path) == {}
