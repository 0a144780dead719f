import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.errors import InputError

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tf.io.encode_png(np.asarray(pixels)[..., None])
    path.write_bytes(content.numpy())
    return path


def load(folder, **options):
    return tt.load(f"folder:{folder}", 16, 1, align=False, **options)


@pytest.fixture
def folder(tmp_path):
    """Two classes of three images in a training part, and of two in a test."""
    for part, count in (("train", 3), ("test", 2)):
        for name in "ab":
            for i in range(count):
                pixels = np.full((16, 16), 10 * i, np.uint8)
                write(tmp_path / part / name / f"{i}.png", pixels)
    return tmp_path


@pytest.mark.parametrize(
    ("factor", "maximum"), [(1, 255), (16, 4095), (257, 65535)]
)
def test_16_bit_files_keep_all_levels(tmp_path, factor, maximum, capsys):
    """So 12-bit pictures are neither dark nor coarse."""
    for name in "ab":
        write(tmp_path / name / "0.png", RAMP * np.uint16(factor))
    data = load(tmp_path)
    assert data.frame.appearance.maximum == maximum
    expected = np.floor(RAMP.astype(float) * factor / maximum * 255 + 0.501)
    for image in data.images[..., 0]:
        np.testing.assert_array_equal(image, expected)
    assert f"{maximum} is taken for full" in capsys.readouterr().err


def test_16_bit_arrays_that_hold_fewer_bits(tmp_path):
    arrays = {"x_train": RAMP[None], "y_train": np.zeros(1, int)}
    for factor, maximum in ((1, 255), (16, 4095), (257, 65535)):
        arrays["x_train"] = RAMP[None] * np.uint16(factor)
        np.savez(tmp_path / "a.npz", **arrays)
        data = tt.load(f"npz:{tmp_path / 'a.npz'}", 16, 1, align=False)
        expected = np.floor(RAMP.astype(float) * factor / maximum * 255 + 0.501)
        np.testing.assert_array_equal(data.images[0, ..., 0], expected)


def test_files_of_8_and_16_bits_have_one_scale(tmp_path):
    write(tmp_path / "a" / "0.png", RAMP.astype(np.uint8))
    write(tmp_path / "b" / "0.png", RAMP * np.uint16(16))
    images = load(tmp_path).images[..., 0]
    np.testing.assert_array_equal(images[0], RAMP)
    np.testing.assert_array_equal(
        images[1], np.floor(RAMP.astype(float) * 16 / 4095 * 255 + 0.501)
    )


def test_all_damaged_files_are_listed_at_once(folder):
    names = ["it's.png", "two words.png", "\x1b[1m.png"]
    for name in names:
        (folder / "train" / "a" / name).write_bytes(b"no image")
    with pytest.raises(InputError) as error:
        load(folder)
    text = str(error.value)
    assert "3 image files cannot be read" in text
    assert "data.damaged=skip" in text
    start = folder / "train" / "a"
    for word in (
        f"'{start}/it'\"'\"'s.png'",
        f"'{start}/two words.png'",
        f"$'{start}/\\x1b[1m.png'",
    ):
        assert word in text


def test_at_most_20_damaged_files_are_listed_with_their_count(folder):
    for i in range(25):
        (folder / "train" / "a" / f"bad{i:02}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"25 image .* and 5 more") as error:
        load(folder)
    assert str(error.value).count("/bad") == 20


def test_damaged_files_are_skipped(folder):
    whole = load(folder)
    for bad in ("train/a/00.png", "train/b/9.png", "test/a/00.png"):
        (folder / bad).write_bytes(b"no image")
    cut = (folder / "test" / "b" / "1.png").read_bytes()[:-20]
    (folder / "test" / "b" / "1.png").write_bytes(cut)
    with pytest.warns(UserWarning, match="Left out are 4 image files"):
        data = load(folder, damaged="skip")
    assert data.class_names == whole.class_names
    np.testing.assert_array_equal(data.images, whole.images[:-1])
    np.testing.assert_array_equal(data.labels, whole.labels[:-1])
    np.testing.assert_array_equal(data.test, whole.test[:-1])


def test_too_large_files_are_listed_and_never_skipped(folder):
    for name in "ab":
        write(folder / "train" / name / "big.png", np.zeros((20, 20), np.uint8))
    (folder / "train" / "a" / "bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 image .*; 2 image .* 300 pixels"):
        load(folder, max_pixels=300)
    with pytest.raises(InputError, match=r"': 2 image files .* 300 pixels"):
        load(folder, max_pixels=300, damaged="skip")


@pytest.mark.parametrize("damaged", ["refuse", "skip"])
def test_a_folder_of_damaged_files_alone_is_refused(tmp_path, damaged):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="2 image files cannot be read"):
        load(tmp_path, damaged=damaged)
