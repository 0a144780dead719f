import os

import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError
from tf_transfer.utils.storage import archives


def write_folder(root, classes=("cat", "dog"), each=2):
    for name in classes:
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = np.full((6 + i, 5, 3), 40 * i, np.uint8)
            encode = tf.io.encode_png if i else tf.io.encode_jpeg
            suffix = "png" if i else "jpg"
            tf.io.write_file(str(root / name / f"{i}.{suffix}"), encode(pixels))


def test_npz_with_and_without_optional_arrays(tmp_path):
    path = tmp_path / "data.npz"
    x, y = np.zeros((3, 4, 4, 1), np.uint8), np.array([0, 1, 1])
    np.savez(path, x_train=x, y_train=y)
    raw = loaders.load(f"npz:{path}")
    assert raw.class_names == ["0", "1"]
    assert raw.test is None
    np.savez(
        path,
        x_train=x,
        y_train=y,
        x_test=x[:2],
        y_test=y[:2],
        class_names=["a", "b"],
    )
    raw = loaders.load(f"npz:{path}")
    assert raw.class_names == ["a", "b"]
    assert raw.test.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.zeros((2, 4, 4))}, "no array 'y_train'"),
        (
            {"x_train": np.zeros((2, 4, 4)), "y_train": np.zeros(3, int)},
            "equal lengths",
        ),
        (
            {
                "x_train": np.zeros((2, 4, 4)),
                "y_train": np.zeros(2, int),
                "x_test": np.zeros((2, 5, 5)),
                "y_test": np.zeros(2, int),
            },
            "one shape",
        ),
    ],
)
def test_npz_refuses(tmp_path, arrays, message):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message):
        loaders.load(f"npz:{path}")


@pytest.mark.parametrize("form", ["column", "float", "float column"])
def test_npz_labels_as_keras_and_others_keep_them(tmp_path, form):
    labels = np.array([0, 2, 1])
    kept = labels[:, None] if "column" in form else labels
    kept = kept.astype(np.float32) if "float" in form else kept
    path = tmp_path / "data.npz"
    x = np.zeros((3, 4, 4), np.uint8)
    np.savez(path, x_train=x, y_train=kept, x_test=x, y_test=labels)
    raw = loaders.load(f"npz:{path}")
    assert raw.labels.tolist() == [0, 2, 1, 0, 2, 1]
    assert raw.labels.dtype.kind == "i"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3), r"y.argmax\(axis=1\).*shape \(3, 3\)"),
        (np.array([0.5, 1, 2]), "class numbers.*float64"),
        (np.array([np.nan, 1, 2]), "class numbers.*float64"),
        (np.array(["a", "b", "c"]), "class numbers.*<U1"),
        (np.array([True, False, True]), "class numbers.*bool"),
    ],
)
def test_npz_refuses_labels(tmp_path, labels, message):
    path = tmp_path / "data.npz"
    np.savez(path, x_train=np.zeros((3, 4, 4), np.uint8), y_train=labels)
    with pytest.raises(InputError, match=message):
        loaders.load(f"npz:{path}")


def test_npz_class_names_of_bytes(tmp_path):
    path = tmp_path / "data.npz"
    arrays = {"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": [0, 1]}
    np.savez(path, class_names=[b"cat", "é".encode()], **arrays)
    assert loaders.load(f"npz:{path}").class_names == ["cat", "é"]
    np.savez(path, class_names=[b"cat", b"\xe9"], **arrays)
    with pytest.raises(InputError, match="must be UTF-8"):
        loaders.load(f"npz:{path}")


def test_npz_class_names_given_twice_stay_two_classes(tmp_path):
    """ImageNet has two classes `crane`: a bird and a machine."""
    path = tmp_path / "data.npz"
    arrays = {"x_train": np.zeros((3, 4, 4), np.uint8), "y_train": [0, 1, 2]}
    np.savez(path, class_names=["crane", "cat", "crane"], **arrays)
    raw = loaders.load(f"npz:{path}")
    assert raw.class_names == ["crane", "cat", "crane"]
    assert raw.labels.tolist() == [0, 1, 2]


def test_npz_parts_of_different_ranges(tmp_path):
    path = tmp_path / "data.npz"
    x, y = np.full((2, 4, 4), 51, np.uint8), np.arange(2)
    unit = (x / 255).astype(np.float32)
    np.savez(path, x_train=x, y_train=y, x_test=unit, y_test=y)
    np.testing.assert_allclose(loaders.load(f"npz:{path}").images, 0.2)
    whole = x.astype(np.float32)
    np.savez(path, x_train=whole, y_train=y, x_test=unit, y_test=y)
    with pytest.raises(InputError, match="one range of pixel values"):
        loaders.load(f"npz:{path}")


def test_npz_never_runs_code(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x_train=np.array([print], object), y_train=np.zeros(1))
    with pytest.raises(InputError, match="cannot be read"):
        loaders.load(f"npz:{path}")


def test_folder_of_parts(tmp_path):
    for part, names in {"test": "ac", "train": "ab", "val": "b"}.items():
        for name in names:
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            pixels = np.full((4, 4, 1), 10 * ord(part[1]) % 256, np.uint8)
            png = tf.io.encode_png(pixels).numpy()
            (folder / f"{part}.png").write_bytes(png)
    raw = loaders.load(f"folder:{tmp_path}")
    assert raw.class_names == ["a", "b", "c"]
    assert raw.labels.tolist() == [0, 1, 1, 0, 2]
    assert raw.test.tolist() == [3, 4]
    shades = [10 * ord(letter) % 256 for letter in "rraee"]
    assert [image[0, 0, 0] for image in raw.images] == shades
    assert loaders.load(f"folder:{tmp_path / 'train'}").test is None


def test_classes_may_be_called_like_parts(tmp_path):
    for name in ("test", "train"):
        (tmp_path / name).mkdir()
        png = tf.io.encode_png(np.zeros((4, 4, 1), np.uint8)).numpy()
        (tmp_path / name / "one.png").write_bytes(png)
    raw = loaders.load(f"folder:{tmp_path}")
    assert (raw.class_names, raw.test) == (["test", "train"], None)


def test_folder_of_jpeg_and_png_of_many_sizes(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "cat" / "._0.png").write_bytes(b"of a file manager")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    with pytest.warns(UserWarning, match=r"are 1 .*: 'cat/pipe\.png'$"):
        raw = loaders.load(f"folder:{tmp_path}")
    assert raw.class_names == ["cat", "dog"]
    assert raw.labels.tolist() == [0, 0, 1, 1]
    assert [raw.images[i].shape for i in (0, 1)] == [(6, 5, 3), (7, 5, 3)]


def test_folder_warns_of_what_it_leaves_out(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "cat" / "old").mkdir()
    (tmp_path / "dog" / "notes.txt").write_text("good dogs")
    (tmp_path / "notes.txt").write_text("of no class")  # beside the classes
    tf.io.write_file(str(tmp_path / "loose.png"), "an image")
    left = "'loose.png', 'cat/old', 'dog/notes.txt'"
    with pytest.warns(UserWarning, match=f"are 3 files and .*: {left}$"):
        raw = loaders.load(f"folder:{tmp_path}")
    assert raw.labels.tolist() == [0, 0, 1, 1]


def test_parts_are_recognised_among_other_folders(tmp_path):
    for part in ("Train", "TEST"):
        write_folder(tmp_path / part)
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "docs").mkdir()
    with pytest.warns(UserWarning, match=r"are 1 files .*: 'docs'$"):
        raw = loaders.load(f"folder:{tmp_path}")
    assert raw.class_names == ["cat", "dog"]
    assert raw.test.tolist() == [4, 5, 6, 7]


def test_folder_names_an_unreadable_image(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "cat" / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"cat/broken\.png"):
        list(loaders.load(f"folder:{tmp_path}").images)


def test_folder_refuses_emptiness(tmp_path):
    with pytest.raises(InputError, match=r"no classes with images \(\.bmp, "):
        loaders.load(f"folder:{tmp_path}")
    with pytest.raises(InputError, match="no such folder"):
        loaders.load(f"folder:{tmp_path / 'absent'}")


@pytest.mark.parametrize(
    "name", ["cats", "npz", "npz:", "glyphs:x", "", "sql:x"]
)
def test_unknown_names(name):
    with pytest.raises(InputError, match="Unknown data set"):
        loaders.load(name)


@pytest.mark.parametrize("kind", ["tfrecord", "array_record"])
def test_tfds_loads_a_prepared_set_offline(monkeypatch, tmp_path, kind):
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Squares(tfds.core.GeneratorBasedBuilder):
            """Two classes, prepared without a network."""

            VERSION = tfds.core.Version("1.0.0")
            pkg_dir_path = tmp_path

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=(4, 4, 1)),
                    "label": tfds.features.ClassLabel(names=["a", "b"]),
                }
                return self.dataset_info_from_configs(
                    features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, manager):
                return {
                    "test": self._generate_examples(2),
                    "train": self._generate_examples(3),
                }

            def _generate_examples(self, count):
                for i in range(count):
                    image = np.full((4, 4, 1), 10 * i, np.uint8)
                    yield i, {"image": image, "label": i % 2}

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    squares = Squares(data_dir=str(tmp_path), file_format=kind)
    squares.download_and_prepare()
    monkeypatch.setattr(tfds, "builder", lambda name: squares)
    raw = loaders.load("tfds:little_squares")
    assert raw.images[0].shape == (4, 4, 1)
    assert raw.class_names == ["a", "b"]
    assert len(raw.labels) == 5
    assert raw.test.tolist() == [3, 4]
    # Preparing shuffles the examples, but each keeps its label.
    values = [image[0, 0, 0] for image in raw.images]
    assert sorted(values[:3]) == [0, 10, 20]
    assert sorted(values[3:]) == [0, 10]
    np.testing.assert_array_equal(raw.labels, np.array(values) // 10 % 2)
    assert raw.files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "not prepared on this machine"),
        ("no_such_set_at_all", "has no such data set"),
    ],
)
def test_tfds_refuses_at_once(monkeypatch, tmp_path, name, message):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=message):
        loaders.load(f"tfds:{name}")


def test_what_an_archive_lacks_is_said_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=np.zeros((2, 8, 8), np.uint8))
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(InputError, match="no array 'y_train'"):
        loaders.load(f"npz:{path}")


def test_an_archive_that_does_not_fit_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.npz"
    images = np.zeros((100, 64, 64), np.uint8)
    np.savez_compressed(path, x_train=images, y_train=np.zeros(100, int))
    monkeypatch.setattr(archives.environment, "memory", lambda: 10**5)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(InputError, match="have 410400 bytes, more than 10000"):
        loaders.load(f"npz:{path}")


@pytest.mark.parametrize("name", ["huggingface:a", "ns:mnist", "a b", ""])
def test_no_name_asks_a_server(name, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds, "builder", None)
    with pytest.raises(InputError, match="Received: "):
        loaders.load(f"tfds:{name}")


def test_devices_and_pipes_are_no_data(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    for path in (tmp_path / "a.npz", "/dev/zero"):
        with pytest.raises(InputError, match="regular file is needed"):
            loaders.load(f"npz:{path}")
