import io

import numpy as np
import PIL.Image
import pytest

from tf_transfer.data import bulk_framing, framing
from tf_transfer.data.bulk_framing import BulkFramer
from tf_transfer.data.raw.image_files import EncodedImages
from tf_transfer.data.raw.reading import ImageReader
from tf_transfer.errors import InputError

PLAIN = framing.Appearance(255.0)
INK = framing.Appearance(255.0, background=0.0)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


def turned():
    """EXIF data that say: turned by 90 degrees."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def pictures(rng, count=40):
    """Files of several kinds and sizes."""
    files = []
    for i in range(count):
        shape = (8 + i % 3, 9, 3)
        image = rng.integers(0, 256, shape).astype(np.uint8)
        files += [
            encoded(image, "JPEG"),
            encoded(image[..., 0], "JPEG"),
            encoded(image, "JPEG", exif=turned()),
            encoded(image, "PNG"),
            encoded(image[..., 0], "PNG"),
            encoded(np.dstack([image, image[..., 0]]), "PNG"),
            encoded(image, "PNG", exif=turned()),
            encoded(image, "GIF"),
            encoded(image, "BMP"),
        ]
    return files


def framed(images, look=PLAIN, channels=3, size=8):
    frame = framing.Frame(size, channels, look)
    return BulkFramer(frame, ImageReader(images)).all()


def one_by_one(files, look, channels):
    """Each by itself, as a served model does it."""
    frame = framing.Frame(8, channels, look).compiled()
    images = EncodedImages(files)
    return np.concatenate(
        [frame(image[None].astype(np.float32)) for image in images]
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("look", [PLAIN, INK])
def test_files_of_all_kinds_are_framed_as_each_by_itself(look, channels):
    files = pictures(np.random.default_rng(0))
    result = framed(EncodedImages(files), look, channels)
    expected = one_by_one(files, look, channels)
    # A tie may fall to either side.
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert (result != expected).mean() < 1e-3


def test_the_fast_way_is_taken(monkeypatch):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
    files = EncodedImages([encoded(image, kind) for kind in ("PNG", "JPEG")])
    monkeypatch.setattr(EncodedImages, "__getitem__", None)
    assert framed(files).shape == (2, 8, 8, 3)


def test_damaged_files_are_noted_and_the_others_framed():
    files = pictures(np.random.default_rng(0), 10)
    whole = framed(EncodedImages(files))
    broken = [0, 4, 31]
    for i in broken:
        files[i] = files[i][: len(files[i]) // 2]
    reader = ImageReader(EncodedImages(files))
    result = BulkFramer(framing.Frame(8, 3, PLAIN), reader).all()
    assert sorted(reader.unreadable) == broken
    rest = np.setdiff1d(np.arange(len(files)), broken)
    np.testing.assert_array_equal(result[rest], whole[rest])
    assert not result[broken].any()


def test_a_file_with_too_many_pixels_is_not_decoded():
    image = np.zeros((100, 100, 3), np.uint8)
    files = [encoded(image, "JPEG"), encoded(image[:9, :9], "PNG")]
    reader = ImageReader(EncodedImages(files, max_pixels=5_000))
    BulkFramer(framing.Frame(8, 3, PLAIN), reader).all()
    assert reader.too_large == {0}


@pytest.mark.parametrize("limit", ["_MOST_VALUES", "_MOST_BYTES"])
def test_how_many_are_in_memory_does_not_matter(limit, monkeypatch):
    rng = np.random.default_rng(0)
    files = EncodedImages(pictures(rng, 10))
    arrays = rng.integers(0, 256, (30, 9, 9)).astype(np.uint8)
    many = [files[i] for i in range(30)]
    kinds = files, arrays, many
    whole = [framed(images) for images in kinds]
    monkeypatch.setattr(bulk_framing, limit, 700)
    for images, expected in zip(kinds, whole, strict=True):
        np.testing.assert_array_equal(framed(images), expected)


def test_a_chunk_does_not_depend_on_the_start(monkeypatch):
    monkeypatch.setattr(bulk_framing, "CHUNK", 40)
    files = EncodedImages(pictures(np.random.default_rng(0), 20))
    framer = BulkFramer(framing.Frame(8, 3, PLAIN), ImageReader(files))
    chunks = list(framer.chunks())
    assert [len(chunk) for chunk in chunks] == [40] * 4 + [20]
    for chunk, again in zip(chunks[2:], framer.chunks(80), strict=True):
        np.testing.assert_array_equal(chunk, again)


@pytest.mark.parametrize("background", [None, 0.0])
def test_tracing_for_many_sizes_changes_nothing(background, monkeypatch):
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, (8 + i % 7, 8 + i // 7, 3)).astype(np.uint8)
        for i in range(40)
    ]
    look = framing.Appearance(255.0, background)
    traced = framed(images, look)
    monkeypatch.setattr(bulk_framing, "_MANY_SHAPES", 40)
    # A tie may fall to either side.
    assert np.abs(traced.astype(int) - framed(images, look)).max() <= 1


def test_the_first_bad_pixel_is_told():
    images = np.ones((600, 9, 9), np.float32)
    images[550, 3, 3] = -2
    with pytest.raises(InputError, match=r"Received: -2\.0"):
        framed(images)
