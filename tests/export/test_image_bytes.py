import io
import struct

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.data.raw import image_files
from tf_transfer.export import image_bytes, signatures

COLOUR = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def encoded(kind, **options):
    content = io.BytesIO()
    PIL.Image.fromarray(COLOUR).save(content, kind, **options)
    return content.getvalue()


def exif(orientation, order="<", wide=False, before=0):
    """EXIF data with the orientation after some other tags."""
    other = struct.pack(f"{order}HH", 7, 0)
    tags = [(0x0100 + i, 3, other) for i in range(before)]
    value = struct.pack(f"{order}I" if wide else f"{order}Hxx", orientation)
    tags.append((0x0112, 4 if wide else 3, value))
    data = b"II*\0" if order == "<" else b"MM\0*"
    data += struct.pack(f"{order}IH", 8, len(tags))
    for tag, kind, content in tags:
        data += struct.pack(f"{order}HHI", tag, kind, 1) + content
    return b"Exif\0\0" + data + bytes(4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decodes_and_turns_as_in_training(kind, orientation):
    for order in "<>":
        for wide in (False, True):
            data = exif(orientation, order, wide, before=3 * wide)
            content = encoded(kind, exif=data)
            image = image_bytes.decode(tf.constant(content), 0, 255.0)
            np.testing.assert_array_equal(image, image_files.decode(content))
            turns = image_bytes.orientation(tf.constant(content))
            assert int(turns) == orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_finds_the_orientation_behind_other_segments(kind):
    profile = {"icc_profile": bytes(150_000), "exif": exif(6)}
    assert int(image_bytes.orientation(encoded(kind, **profile))) == 6


@pytest.mark.parametrize(
    "data",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"anything",
        exif(0),
        exif(9),
        exif(65535),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_metadata_turn_nothing(kind, data):
    content = encoded(kind, exif=data)
    assert int(image_bytes.orientation(content)) == 1
    for other in (content[:30], content[:3], b"", b"\xff\xd8\xff" + b"\0" * 9):
        assert int(image_bytes.orientation(other)) == 1


def test_16_bits_are_kept_for_a_model_of_16_bits():
    pixels = COLOUR[..., :1].astype(np.uint16) * 16 + 5
    deep = tf.io.encode_png(pixels)
    image = image_bytes.decode(deep, 0, 4095.0)
    np.testing.assert_array_equal(image, pixels)
    image = image_bytes.decode(deep, 0, 255.0)
    np.testing.assert_array_equal(image, pixels // 256)
    shallow = tf.io.encode_png(COLOUR)
    image = image_bytes.decode(shallow, 0, 510.0)
    np.testing.assert_array_equal(image, 2.0 * COLOUR)


@pytest.mark.parametrize("maximum", [255.0, 4095.0])
def test_served_files_are_framed_as_in_training(maximum):
    frame = tt.Frame(8, 1, tt.Appearance(maximum))
    model = helpers.tiny_classifier()
    served = signatures.ServedModel(model, list("abcd"), frame)
    files = [encoded("JPEG", exif=exif(6)), encoded("PNG", exif=exif(8))]
    if maximum > 255:
        deep = COLOUR.astype(np.uint16) * 16
        files.append(tf.io.encode_png(deep).numpy())
    outputs = served.signatures["serve_bytes"](tf.constant(files))
    images = np.stack(
        [frame(image_files.decode(content)[None])[0] for content in files]
    )
    right = tf.nn.softmax(model(images / np.float32(255)))
    np.testing.assert_allclose(outputs["probabilities"], right, atol=1e-5)
