"""Target images without labels."""

import numpy as np
import PIL.Image
import pytest

from tf_transfer.data import unlabelled
from tf_transfer.data.raw import loaders
from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.errors import InputError

RNG = np.random.default_rng(0)


def photograph(path, side=9):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (side, side, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return pixels


def test_a_flat_folder_gives_its_images_at_any_depth(tmp_path):
    expected = [
        photograph(tmp_path / name)
        for name in ("a.png", "b/c.png", "b/d/e.png", "f.png")
    ]
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    raw = unlabelled.load(f"folder:{tmp_path}")
    for image, pixels in zip(raw.images, expected, strict=True):
        np.testing.assert_array_equal(image, pixels)
    assert raw.labels.tolist() == [0] * 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no images\. Received: "):
        unlabelled.load(f"folder:{tmp_path}/empty")
    with pytest.raises(InputError, match="no such folder"):
        unlabelled.load(f"folder:{tmp_path}/absent")


def test_an_archive_needs_no_labels(tmp_path):
    images = RNG.integers(0, 256, (5, 4, 4), np.uint8)
    np.savez(tmp_path / "x.npz", x_train=images)
    raw = unlabelled.load(f"npz:{tmp_path}/x.npz")
    np.testing.assert_array_equal(raw.images, images)
    np.savez(tmp_path / "y.npz", images=images)
    with pytest.raises(InputError, match="no array 'x_train'"):
        unlabelled.load(f"npz:{tmp_path}/y.npz")
    np.savez(tmp_path / "z.npz", x_train=images[0, 0])
    with pytest.raises(InputError, match="must hold numbers of shape"):
        unlabelled.load(f"npz:{tmp_path}/z.npz")


def test_a_test_part_is_left_out(tmp_path):
    for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png"):
        photograph(tmp_path / name)
    assert len(unlabelled.load("digits").images) == 1797
    labels = np.array([0, 1, 0])
    np.savez(
        tmp_path / "x.npz",
        x_train=np.zeros((3, 4, 4)),
        y_train=labels,
        x_test=np.ones((3, 4, 4)),
        y_test=labels,
    )
    assert len(unlabelled.load(f"npz:{tmp_path}/x.npz").images) == 3


def test_both_are_measured_and_framed_together(tmp_path):
    """The frame is that of all images, which differ in their ink."""
    wide, small = np.zeros((2, 4, 20, 20), np.uint8)
    wide[:, 1:19, 1:19] = 255
    small[:, 9:11, 9:11] = 255
    target = RawImages(small, np.array([0, 1, 0, 1]), ["a", "b"], np.array([3]))
    others = RawImages(wide, np.zeros(4, int), ["any"])
    settings = {"size": 8, "channels": 1}
    framed, rest = unlabelled.frame_together(target, others, **settings)
    assert framed.frame == rest.frame
    assert framed.labels.tolist() == [0, 1, 0, 1]
    assert framed.class_names == ["a", "b"]
    assert framed.test.tolist() == [3]
    assert rest.class_names == [unlabelled.CLASS]
    assert rest.images.shape == (4, 8, 8, 1)
    alone, _ = unlabelled.frame_together(target, target, **settings)
    assert alone.frame != framed.frame
    np.testing.assert_array_equal(
        rest.images, rest.frame(wide[..., None]).numpy()
    )


def test_damaged_files_of_both_are_named_or_left_out(tmp_path):
    for name in ("labelled/a/1.png", "labelled/b/2.png", "rest/3.png"):
        photograph(tmp_path / name)
    for name in ("labelled/a/4.png", "rest/5.png"):
        (tmp_path / name).write_bytes(b"x")
    target = loaders.load(f"folder:{tmp_path}/labelled")
    others = unlabelled.load(f"folder:{tmp_path}/rest")
    settings = {"size": 8, "channels": 3}
    with pytest.raises(InputError, match=r"2 image files .*/4\.png .*/5\.png"):
        unlabelled.frame_together(target, others, **settings)
    with pytest.warns(UserWarning, match="Left out are 2 image files"):
        framed, rest = unlabelled.frame_together(
            target, others, **settings, damaged="skip"
        )
    assert framed.labels.tolist() == [0, 1]
    assert len(rest.labels) == 1


def test_arrays_are_brought_to_one_range(tmp_path):
    pixels = RNG.integers(0, 256, (4, 8, 8, 3), np.uint8)
    target = RawImages(pixels, np.array([0, 1, 0, 1]), ["a", "b"])
    others = RawImages(
        (pixels / 255).astype(np.float32), np.zeros(4, int), ["any"]
    )
    framed, rest = unlabelled.frame_together(target, others, size=8, channels=3)
    np.testing.assert_array_equal(framed.images, rest.images)
    photograph(tmp_path / "x.png", side=8)
    files = unlabelled.load(f"folder:{tmp_path}")
    with pytest.raises(InputError, match=r"must be uint8\. Received: float32"):
        unlabelled.frame_together(others, files, size=8, channels=3)
