"""What is told of raw images: size, colour and background."""

import numpy as np
import PIL.Image
import pytest

from tf_transfer.data.raw import loaders, survey
from tf_transfer.data.raw.image_files import EncodedImages, RawImages
from tf_transfer.errors import InputError

RNG = np.random.default_rng(0)


def raw(images, test=None):
    labels = np.zeros(len(images), np.int32)
    return RawImages(images, labels, ["all"], test)


def grey_photograph(height, width):
    return np.repeat(RNG.integers(0, 256, (height, width, 1), np.uint8), 3, 2)


def test_scans_are_grey_on_a_plain_background():
    found = survey.survey(loaders.load("digits"))
    assert found == survey.Survey(
        count=1797,
        classes=10,
        has_test=False,
        side=8,
        coloured=False,
        plain=True,
    )


def test_photographs_have_the_median_of_their_shorter_sides():
    images = [
        RNG.integers(0, 256, (*shape, 3), np.uint8)
        for shape in ((30, 40), (50, 20), (90, 600))
    ]
    found = survey.survey(raw(images))
    assert found == survey.Survey(
        count=3, classes=1, has_test=False, side=30, coloured=True, plain=False
    )


@pytest.mark.parametrize(("coloured", "told"), [(1, False), (2, True)])
def test_few_coloured_images_do_not_count(coloured, told):
    images = [grey_photograph(9, 9) for _ in range(20)]
    for image in images[:coloured]:
        image[..., 0] = 255 - image[..., 0]
    assert survey.survey(raw(images)).coloured is told


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tint_is_a_colour_in_every_type(dtype):
    grey = grey_photograph(9, 9) / 255
    top = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    tinted = grey * [1, 0.6, 0.6]
    images = (np.stack([grey, tinted]) * top).astype(dtype)
    assert not survey.survey(raw(images[:1])).coloured
    assert survey.survey(raw(images[1:])).coloured


def test_the_test_part_is_not_looked_at():
    images = [grey_photograph(9, 9) for _ in range(4)]
    images[3] = np.zeros((99, 99, 3), np.uint8)
    found = survey.survey(raw(images, test=np.array([3])))
    assert (found.count, found.side, found.has_test) == (3, 9, True)


def test_damaged_files_are_passed_over(tmp_path):
    PIL.Image.new("RGB", (7, 5), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"x")
    files = [str(tmp_path / name) for name in ("good.png", "bad.png")]
    found = survey.survey(raw(EncodedImages(files)))
    assert (found.side, found.coloured) == (5, True)
    with pytest.raises(InputError, match=r"cannot be read.* Received: .*bad"):
        survey.survey(raw(EncodedImages(files[1:])))


def test_only_the_classes_that_are_used_count():
    images = np.zeros((12, 9, 9), np.uint8)
    labels, test = np.arange(12) % 4, np.array([0, 1])
    data = RawImages(images, labels, ["a", "b", "c", "d"], test)
    found = survey.survey(data, classes=["b", "d", "x"])
    assert (found.count, found.classes) == (5, 2)
    everything = survey.survey(data)
    assert (everything.count, everything.classes) == (10, 4)
    assert survey.survey(data, classes=["x"]) == everything
