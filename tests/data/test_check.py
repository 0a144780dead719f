import dataclasses
import io
import itertools
import json

import numpy as np
import PIL.Image
import pytest

from tests import helpers
from tf_transfer.data import check
from tf_transfer.data.check import DataCheck, nearly_equal
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError


def photographs(count=12, side=40, seed=0):
    """Smooth random colour images, `[count, side, side, 3]`."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3))
    return np.stack(
        [
            np.array(PIL.Image.fromarray(c.astype(np.uint8)).resize([side] * 2))
            for c in coarse
        ]
    )


def compressed(image):
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=60)
    return np.array(PIL.Image.open(file))


def darker(image):
    return (image * 0.8 + 5).astype(np.uint8)


def resized(image):
    small = PIL.Image.fromarray(image).resize((30, 30))
    return np.array(small.resize(image.shape[:2]))


@pytest.mark.parametrize("copy", [np.array, compressed, darker, resized])
def test_copies_are_found_and_others_are_not(copy):
    images = photographs()
    others = photographs(seed=1)
    others[7] = copy(images[2])
    expected = np.full(12, -1)
    expected[2] = 7
    np.testing.assert_array_equal(nearly_equal(images, others), expected)
    assert nearly_equal(images, others[:0]).tolist() == [-1] * 12


def test_one_colour_is_like_nothing():
    blank = np.full((2, 8, 8, 1), 7, np.uint8)
    assert nearly_equal(blank, blank).tolist() == [-1, -1]


def data(images, labels):
    return ImageData(images, np.asarray(labels), ["cat", "dog"])


def test_counts_copies_and_blank_images():
    images = photographs(30)
    images[0] = 9
    source = data(images[:15], [0] * 13 + [1] * 2)
    labelled = data(images[15:25], [0] * 5 + [1] * 5)
    test = images[25:].copy()
    test[0], test[1], test[2] = images[3], images[15], images[24]
    check = DataCheck.of(source, labelled, data(test, [0, 1, 1, 0, 1]))
    assert check == DataCheck(
        source={"cat": 13, "dog": 2},
        target={"cat": 5, "dog": 5},
        test={"cat": 2, "dog": 3},
        blank=1,
        compared=5,
        in_source=1,
        in_target=2,
        other_label=1,
    )
    sentences = check.findings()
    high = "accuracies may be too high"
    assert sentences == [
        "classes of the source with fewer than 5 images: 1 of 2 ('dog' has 2)",
        "classes of the test part with fewer than 5 images: 2 of 2 ('cat' has "
        "2, 'dog' has 3)",
        "images of one colour: 1",
        f"test images nearly the same as a source image: 1 of 5; {high}",
        "test images nearly the same as a labelled target image: 2 of 5; "
        f"{high}",
        "test images with another label than nearly the same target image: 1 "
        "of 5; labels may be wrong",
    ]


def test_good_data_gives_no_findings():
    images = photographs(60)
    parts = [data(images[i : i + 20], [0, 1] * 10) for i in (0, 20, 40)]
    assert DataCheck.of(*parts).findings() == []


def test_what_is_written_is_read_again():
    blobs = helpers.blobs()
    check = DataCheck.of(blobs, blobs, blobs)
    content = json.loads(json.dumps(dataclasses.asdict(check)))
    assert DataCheck.from_json(content) == check
    for name in content:
        for damaged in (content | {name: -1}, content | {name: {"a": "b"}}):
            with pytest.raises(InputError, match=f"`data_check.{name}"):
                DataCheck.from_json(damaged)
        rest = {key: value for key, value in content.items() if key != name}
        with pytest.raises(InputError, match=f"`data_check.{name}"):
            DataCheck.from_json(rest)


def test_of_a_large_source_a_sample_is_looked_at(monkeypatch):
    monkeypatch.setattr(check, "_MOST_SOURCE", 40)
    images = np.random.default_rng(0).integers(0, 256, (100, 9, 9, 1), np.uint8)
    images[::2] = 7
    data = ImageData(images, np.arange(100) % 2, ["a", "b"])
    test = data.take(np.arange(1, 100, 2))
    found = DataCheck.of(data, data.take(np.arange(1)), test)
    assert found.source == {"a": 50, "b": 50}
    assert 10 < found.blank - 1 < 30
    assert found.blank - 1 + found.in_source == 40


@pytest.mark.parametrize("shape", [(9, 9), (32, 48), (40, 33), (5, 8)])
def test_averages_are_those_of_each_part(shape):
    image = np.random.default_rng(0).integers(0, 256, (1, *shape, 2), np.uint8)
    rows, columns = (
        np.linspace(0, side, min(8, side) + 1).astype(int) for side in shape
    )
    means = np.array(
        [
            image[0, top:bottom, left:right, channel].mean()
            for channel in (0, 1)
            for top, bottom in itertools.pairwise(rows)
            for left, right in itertools.pairwise(columns)
        ]
    )
    means -= means.mean()
    expected = means / np.linalg.norm(means)
    (result,) = check._standardised(image, 8)
    np.testing.assert_allclose(result, expected, atol=1e-5)
