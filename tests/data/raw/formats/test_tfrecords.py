import gzip

import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.data.raw import loaders
from tf_transfer.data.raw.formats import tfrecords
from tf_transfer.errors import InputError

NAMES = ["ant", "bee", "cat"]


def picture(i):
    image = np.random.default_rng(i).integers(0, 256, (6, 7, 3))
    return image.astype(np.uint8)


def example(i, **changes):
    """One record, as the well-known image sets have it."""
    features = {
        "image/encoded": [tf.io.encode_png(picture(i)).numpy()],
        "image/class/label": [i % 3 + 1],
        "image/class/text": [NAMES[i % 3].encode()],
    } | changes
    kinds = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if values and isinstance(values[0], bytes)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        for name, values in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=kinds))


def write(path, numbers, **changes):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in numbers:
            writer.write(example(i, **changes).SerializeToString())


@pytest.fixture
def shards(tmp_path):
    """Two files of five and four images."""
    write(tmp_path / "one-0.tfrecord", range(5))
    write(tmp_path / "one-1.tfrecord", range(5, 9))
    return f"tfrecord:{tmp_path}/one-*.tfrecord"


def test_images_are_read_by_index(shards):
    raw = loaders.load(shards)
    assert raw.class_names == NAMES
    np.testing.assert_array_equal(raw.labels, np.arange(9) % 3)
    for i in (8, 0, 5, 4):
        np.testing.assert_array_equal(raw.images[i], picture(i))
    assert len(raw.files) == 2
    assert raw.images.shell_word(6).endswith("one-1.tfrecord, record 1'")


def test_names_may_come_from_a_file(shards, tmp_path):
    """Of classes that count from 1, and of those that count from 0."""
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\n")
    assert loaders.load(f"{shards},names={names}").class_names == list("abc")
    names.write_text("a\nb\nc\nd\n")
    raw = loaders.load(f"{shards},names={names}")
    assert raw.class_names == list("abcd")
    np.testing.assert_array_equal(raw.labels, np.arange(9) % 3 + 1)
    names.write_text("a\nb\n")
    with pytest.raises(InputError, match="2 lines, and classes 1 to 3"):
        loaders.load(f"{shards},names={names}")


def test_features_and_a_test_part_are_named(tmp_path):
    changes = {"pixels": [tf.io.encode_png(picture(3)).numpy()]}
    for part in ("train", "test"):
        write(tmp_path / part, range(4), kind=[b"x"], **changes)
    name = f"tfrecord:{tmp_path}/t*,test={tmp_path}/test"
    name += ",image=pixels,label=kind"
    raw = loaders.load(name)
    assert raw.class_names == ["x"]
    np.testing.assert_array_equal(raw.images[5], picture(3))
    np.testing.assert_array_equal(raw.test, np.arange(4, 8))
    with pytest.raises(InputError, match="no feature shape that can be the la"):
        loaders.load(name.replace("label=kind", "label=shape"))


def test_texts_are_names_only_if_they_differ(tmp_path):
    write(tmp_path / "a", range(6), **{"image/class/text": [b"same"]})
    assert loaders.load(f"tfrecord:{tmp_path}/a").class_names == list("123")


def damaged(path):
    return {
        "absent": None,
        "empty": b"",
        "text": b"This is no TFRecord file, but a longer text of words.",
        "cut": path.read_bytes()[:-3],
        "compressed": gzip.compress(path.read_bytes()),
        "flipped": path.read_bytes()[:90] + b"?" + path.read_bytes()[91:],
    }


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", "no such TFRecord files"),
        ("empty", "files are empty"),
        ("text", "cut off, or no TFRecord"),
        ("cut", "cut off, or no TFRecord"),
        ("compressed", "use gunzip first"),
        ("flipped", "is damaged|cannot be read"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, kind, message):
    good, bad = tmp_path / "good", tmp_path / "bad"
    write(good, range(5))
    content = damaged(good)[kind]
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(InputError, match=message):
        loaders.load(f"tfrecord:{bad}")


def test_a_record_without_a_label_or_an_image(tmp_path):
    path = tmp_path / "a"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for label in ([1], [1, 2]):
            record = example(0, **{"image/class/label": label})
            writer.write(record.SerializeToString())
    with pytest.raises(InputError, match="not all have the feature image/cla"):
        loaders.load(f"tfrecord:{path}")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image in ([b"x"], []):
            record = example(0, **{"image/encoded": image})
            writer.write(record.SerializeToString())
    images = loaders.load(f"tfrecord:{path}").images
    with pytest.raises(InputError, match=r"cannot be read.*record 1"):
        images[1]


def test_no_features_are_told(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(InputError, match="Received: features none"):
        loaders.load(f"tfrecord:{tmp_path / 'a'}")


def test_real_images_equal_those_that_tensorflow_reads(shared_data):
    path = shared_data / "tiny_imagenet_32.tfrecord"
    names = shared_data / "tiny_imagenet_32.txt"
    raw = tfrecords.load_tfrecord(f"{path},names={names}")
    assert len(raw.labels) == 100_000
    assert raw.class_names == names.read_text().split("\n")[:200]
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }
    for i, record in enumerate(tf.data.TFRecordDataset(str(path)).take(20)):
        parsed = tf.io.parse_single_example(record, spec)
        pixels = tf.io.decode_jpeg(parsed["image/encoded"])
        np.testing.assert_array_equal(raw.images[i], pixels)
        assert raw.labels[i] == parsed["image/class/label"].numpy()
