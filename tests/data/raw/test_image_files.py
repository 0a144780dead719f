import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tf_transfer.data import framing
from tf_transfer.data.raw.image_files import (
    SUFFIXES,
    EncodedImages,
    as_jpeg_or_png,
)
from tf_transfer.errors import InputError


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_file_is_decoded(tmp_path, suffix):
    pixels = np.full((6, 5, 3), 200, np.uint8)
    path = tmp_path / f"image{suffix}"
    PIL.Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    for image in EncodedImages([str(path), content]):
        np.testing.assert_allclose(image, pixels, atol=3)


def test_refuses_other_formats(tmp_path):
    content = io.BytesIO()
    PIL.Image.new("L", (6, 5)).save(content, "TIFF")
    with pytest.raises(InputError, match=r"be read\. Received: 'image 0'"):
        EncodedImages([content.getvalue()])[0]


def test_refuses_an_image_too_large_before_decoding_it(tmp_path):
    path = tmp_path / "large.png"
    PIL.Image.new("L", (30, 20)).save(path)
    assert EncodedImages([str(path)], max_pixels=600)[0].shape == (20, 30, 1)
    with pytest.raises(InputError, match=r"599 .*large\.png' with 600"):
        EncodedImages([str(path)], max_pixels=599)[0]


ROWS, COLUMNS = np.mgrid[:12, :16]
COLOUR = np.stack([COLUMNS * 15, ROWS * 20, 255 - COLUMNS * 8], axis=-1).astype(
    np.uint8
)
GREY = (COLUMNS * 15).astype(np.uint8)
DARK = np.zeros((12, 12, 4), np.uint8)  # dark ink on a transparent ground
DARK[..., :3] = 40
DARK[3:9, 5:7, 3] = 255


def encoded(image, kind, **options):
    content = io.BytesIO()
    PIL.Image.fromarray(np.asarray(image)).save(content, kind, **options)
    return content.getvalue()


def palette_bmp(indices, palette):
    """An 8-bit BMP with a palette `[256, 3]`."""
    entries = np.pad(palette[:, ::-1], [(0, 0), (0, 1)]).astype(np.uint8)
    return bmp(8, indices[::-1].tobytes(), *indices.shape, entries.tobytes())


def bmp(bits, pixels, height, width, palette=b""):
    start = 54 + len(palette)
    header = struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    sizes = struct.pack("<IiiHH", 40, width, height, 1, bits)
    rest = struct.pack("<IIiiII", 0, len(pixels), 0, 0, len(palette) // 4, 0)
    return b"BM" + header + sizes + rest + palette + pixels


def exif(orientation):
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_orientation_says(kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(COLOUR, kind, exif=exif(orientation), **options)
    image = EncodedImages([content])[0]
    with PIL.Image.open(io.BytesIO(content)) as stored:
        right = np.asarray(PIL.ImageOps.exif_transpose(stored))
    assert image.shape == right.shape
    # TensorFlow and Pillow round JPEG values in their own ways.
    atol = 6 if kind == "JPEG" else 0
    np.testing.assert_allclose(image.astype(int), right, atol=atol)


def test_damaged_metadata_do_not_matter():
    for damage in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"none"):
        content = encoded(COLOUR, "JPEG", exif=damage)
        assert EncodedImages([content])[0].shape == COLOUR.shape


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_keeps_its_depth(channels):
    pixels = np.random.default_rng(0).integers(0, 2**16, (6, 5, channels))
    pixels = pixels.astype(np.uint16)
    image = EncodedImages([tf.io.encode_png(pixels).numpy()])[0]
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, pixels)


def test_bmp_with_a_palette_or_32_bits():
    palette = np.random.default_rng(0).integers(0, 256, (256, 3))
    image = EncodedImages([palette_bmp(GREY, palette)])[0]
    np.testing.assert_array_equal(image, palette[GREY])
    unused = np.zeros((12, 16, 1), np.uint8)  # no opacity: the byte is unused
    stored = np.concatenate([COLOUR[::-1, :, ::-1], unused], axis=-1)
    image = EncodedImages([bmp(32, stored.tobytes(), 12, 16)])[0]
    np.testing.assert_array_equal(image, COLOUR)
    image = EncodedImages([encoded(GREY > 99, "BMP")])[0]
    np.testing.assert_array_equal(image[..., 0], 255 * (GREY > 99))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_transparency_is_kept(kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    image = EncodedImages([encoded(DARK, kind, **options)])[0]
    np.testing.assert_array_equal(image[..., 3], DARK[..., 3])
    assert (image[3:9, 5:7, :3] == 40).all()
    framed = framing.Frame(12, 1, framing.Appearance(255.0))(image[None])
    np.testing.assert_array_equal(
        framed[0, ..., 0], np.where(DARK[..., 3] > 0, 40, 255)
    )


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_its_first_picture(kind):
    pictures = [COLOUR, 255 - COLOUR, COLOUR // 2]
    if kind == "GIF":
        pictures = [np.repeat(p[..., :1], 3, axis=-1) for p in pictures]
    others = [PIL.Image.fromarray(p) for p in pictures[1:]]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(
        pictures[0], kind, save_all=True, append_images=others, **options
    )
    image = EncodedImages([content])[0]
    np.testing.assert_array_equal(image[..., :3], pictures[0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR])
def test_ordinary_files_are_decoded_as_before(kind, pixels):
    content = encoded(pixels, kind)
    expected = tf.io.decode_image(content, expand_animations=False)
    np.testing.assert_array_equal(EncodedImages([content])[0], expected)
    assert as_jpeg_or_png(content) == content


def test_as_jpeg_or_png():
    turned = encoded(COLOUR, "PNG", exif=exif(6))
    deep = tf.io.encode_png(GREY[..., None].astype(np.uint16) * 257).numpy()
    files = [turned, encoded(COLOUR, "WEBP"), encoded(DARK, "GIF"), deep]
    for content in files:
        image = EncodedImages([as_jpeg_or_png(content)])[0]
        np.testing.assert_array_equal(image, EncodedImages([content])[0])
    assert as_jpeg_or_png(turned, max_pixels=5) == turned
    for content in (b"", b"text", encoded(COLOUR, "GIF")[:60]):
        with pytest.raises(InputError, match="cannot be read"):
            as_jpeg_or_png(content)


def png_chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def interlaced(image):
    """A grey PNG of 16 bits in the seven passes of Adam7."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4))
    passes += ((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b""
    for y, x, down, right in passes:
        for row in image[y::down, x::right]:
            rows += b"\0" + row.astype(">u2").tobytes()
    height, width = image.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def test_interlaced_16_bit_png():
    image = (COLUMNS * 4000 + ROWS * 7).astype(np.uint16)
    decoded = EncodedImages([interlaced(image)])[0]
    np.testing.assert_array_equal(decoded[..., 0], image)


def saved(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def uncommon():
    """Files that Pillow writes, by name."""
    colour, grey = PIL.Image.fromarray(COLOUR), PIL.Image.fromarray(GREY)
    few = colour.quantize(4)
    frames = [PIL.Image.fromarray(np.roll(COLOUR, 3 * i, 1)) for i in (1, 2)]
    moving = {"save_all": True, "append_images": frames}
    both = PIL.Image.merge("LA", [grey, PIL.Image.fromarray(255 - GREY)])
    return {
        "CMYK": saved(colour.convert("CMYK"), "JPEG", quality=95),
        "progressive": saved(colour, "JPEG", quality=95, progressive=True),
        "grey and alpha": saved(both, "PNG"),
        "1 bit": saved(grey.convert("1"), "PNG"),
        "2 bits": saved(few, "PNG", bits=2),
        "palette and alpha": saved(
            few, "PNG", transparency=bytes([0, 128, 255])
        ),
        "moving PNG": saved(colour, "PNG", **moving),
        "moving GIF": saved(colour, "GIF", **moving),
        "moving WebP": saved(colour, "WEBP", lossless=True, **moving),
        "WebP and alpha": saved(
            PIL.Image.fromarray(np.dstack([COLOUR, GREY])),
            "WEBP",
            lossless=True,
            exact=True,
        ),
    }


@pytest.mark.parametrize("name", uncommon())
def test_uncommon_files_are_what_pillow_sees(name):
    content = uncommon()[name]
    image = PIL.Image.open(io.BytesIO(content))
    expected = np.asarray(image.convert("RGBA"))
    decoded = EncodedImages([content])[0]
    channels = decoded.shape[-1]
    colour = decoded[..., :1] if channels < 3 else decoded[..., :3]
    opacity = decoded[..., -1] if channels in (2, 4) else 255
    near = 10 if image.format == "JPEG" else 0
    np.testing.assert_allclose(
        colour + 0 * expected[..., :3], expected[..., :3], atol=near
    )
    np.testing.assert_array_equal(
        opacity + 0 * expected[..., 3], expected[..., 3]
    )
    if "moving" not in name:
        with pytest.raises(InputError, match="cannot be read"):
            EncodedImages([content[: len(content) // 2]])[0]
