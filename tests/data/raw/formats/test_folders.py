import os

import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError


def write_folder(root, classes=("cat", "dog"), each=2):
    for name in classes:
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = np.full((6 + i, 5, 3), 40 * i, np.uint8)
            encode = tf.io.encode_png if i else tf.io.encode_jpeg
            suffix = "png" if i else "jpg"
            tf.io.write_file(str(root / name / f"{i}.{suffix}"), encode(pixels))


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
