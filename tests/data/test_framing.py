import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.data import framing
from tf_transfer.data.bulk_framing import BulkFramer
from tf_transfer.data.raw import loaders
from tf_transfer.data.raw.reading import ImageReader
from tf_transfer.errors import InputError


def ring(side=28, radius=7, thickness=2, background=0, ink=255):
    """An image of a circle on a plain background, uint8."""
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    distance = np.hypot(rows, columns)
    image = np.full((side, side), background, np.uint8)
    image[abs(distance - radius) < thickness] = ink
    return image


def test_measures_background_and_radius():
    look = framing.measure([ring()] * 3)
    assert look.maximum == 255
    assert look.background == 0
    assert look.radius == pytest.approx(7 / 28, rel=0.05)


@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("grey", [True, False])
def test_transparent_pixels_are_not_mistaken_for_ink(ink, grey):
    """Whatever colour they have."""
    opaque = np.zeros((20, 20), np.uint8)
    opaque[6:14, 9:11] = 255
    colour = np.full_like(opaque, ink)
    image = np.stack([colour] * (1 if grey else 3) + [opaque], axis=-1)
    frame = framing.Frame(12, 1, framing.measure([image]))
    plain = framing.Frame(12, 1, framing.measure([opaque]))
    expected = plain(opaque[None, ..., None])
    np.testing.assert_array_equal(frame(image[None]), expected)
    reader = ImageReader([image])
    np.testing.assert_array_equal(BulkFramer(frame, reader).all(), expected)


@pytest.mark.parametrize("sides", [((0, 0), (0, 28)), ((0, 28), (0, 0))])
def test_the_radius_is_a_share_of_the_longer_side(sides):
    look = framing.measure([np.pad(ring(), sides)])
    assert look.radius == pytest.approx(7 / 56, rel=0.05)


def test_the_radius_is_the_median_of_the_images_with_a_floor():
    small, large = (framing.measure([ring(radius=r)]).radius for r in (5, 12))
    assert small < large / 2
    look = framing.measure([ring(radius=5)] * 3 + [ring(radius=12)])
    assert look.radius == pytest.approx(small, rel=1e-6)
    dot = np.zeros((64, 64), np.uint8)
    dot[32, 32] = 255
    assert framing.measure([dot]).radius == 0.05


@pytest.mark.parametrize(
    ("kind", "value", "maximum"),
    [
        ("uint8", 100, 255),
        ("uint16", 300, 65535),
        ("int64", 16, 255),
        ("int64", 300, 300),
        ("float32", 0.5, 1),
        ("float32", 16, 16),
    ],
)
def test_full_brightness_by_the_type_of_the_pixels(kind, value, maximum):
    assert framing.measure([np.full((8, 8), value, kind)]).maximum == maximum


def test_an_opaque_second_channel_changes_nothing():
    two = np.stack([ring(), np.full((28, 28), 255, np.uint8)], axis=-1)
    look = framing.measure([ring()])
    assert framing.measure([two]) == look
    frame = framing.Frame(12, 1, look)
    expected = frame(ring()[None, ..., None])
    np.testing.assert_array_equal(frame(two[None]), expected)
    reader = ImageReader([two])
    np.testing.assert_array_equal(BulkFramer(frame, reader).all(), expected)


def test_photographs_have_no_plain_background():
    noise = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3))
    assert framing.measure(noise.astype(np.uint8)).background is None


@pytest.mark.parametrize(
    "image",
    [
        ring(),
        ring(side=16, radius=7, thickness=1),
        ring(background=255, ink=0),
        np.repeat(ring()[..., None], 3, axis=-1),
        ring().astype(np.float32) / 255,
        ring().astype(np.float64) / 16,
        np.pad(ring(), 20),
        np.pad(ring(), ((0, 0), (0, 28))),
        np.pad(ring(), ((28, 0), (0, 0))),
    ],
    ids=[
        *("plain", "fills", "inverted", "colour", "float", "0..16", "small"),
        *("wide", "tall"),
    ],
)
def test_one_shape_looks_the_same_however_it_was_stored(image):
    batch = image[None] if image.ndim == 3 else image[None, ..., None]
    framed = framing.Frame(24, 1, framing.measure([image]))(batch).numpy()
    assert framed.shape == (1, 24, 24, 1)
    assert framed.dtype == np.uint8
    look = framing.measure(framed)
    assert look.background == pytest.approx(0, abs=0.02)
    assert look.radius == pytest.approx(framing.RADIUS, rel=0.06)
    assert framed.max() > 180


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "shape", [(2, 9, 31, 1), (1, 40, 30, 3), (3, 8, 8, 4), (0, 5, 5, 1)]
)
@pytest.mark.parametrize("background", [None, 0.0, 0.9])
def test_a_graph_of_unknown_sizes_frames_alike(channels, shape, background):
    look = framing.Appearance(255.0, background, 0.3)
    frame = framing.Frame(12, channels, look)
    images = np.random.default_rng(0).integers(0, 256, shape)
    expected = frame(images.astype(np.float32)).numpy()
    assert expected.shape == (shape[0], 12, 12, channels)
    for kind in (tf.uint8, tf.float32):
        spec = tf.TensorSpec([None] * 4, kind)
        framed = tf.function(frame, [spec])(tf.cast(images, kind))
        np.testing.assert_array_equal(framed, expected)


@pytest.mark.parametrize(
    ("side", "zoomed"), [(9, 24), (40, 7), (11, 11), (30, 14), (5, 2)]
)
def test_scaling_is_the_antialiased_resize_of_tensorflow(side, zoomed):
    images = np.random.default_rng(0).random((2, side, side, 3), np.float32)
    look = framing.Appearance(1.0, 0.0, framing.RADIUS * 12 / zoomed)
    framed = framing.Frame(12, 3, look)(images).numpy().astype(int)
    resized = tf.image.resize(images, [zoomed] * 2, antialias=True)
    cut = tf.image.resize_with_crop_or_pad(resized, 12, 12)
    assert abs(framed - 255 * cut.numpy()).max() < 0.51


def test_grey_images_are_the_same_in_colour():
    grey = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 1))
    frame = framing.Frame(12, 1, framing.Appearance(255.0, 0.5, 0.4))
    np.testing.assert_array_equal(
        frame(grey.astype(np.uint8)),
        frame(np.repeat(grey, 3, axis=-1).astype(np.uint8)),
    )


@pytest.mark.parametrize("shape", [(150, 200), (300, 160), (128, 128), (9, 7)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [1, 3])
def test_photographs_by_one_operation_are_the_same(shape, channels, stored):
    image = np.random.default_rng(0).integers(0, 256, (2, *shape, stored))
    frame = framing.Frame(64, channels, framing.Appearance(255.0))
    image = image.astype(np.uint8)
    expected = frame(image).numpy().astype(int)
    difference = np.abs(frame.photographs(image).numpy() - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_luma_of_pure_colours():
    frame = framing.Frame(4, 1, framing.Appearance(255.0))
    pure = np.zeros((3, 4, 4, 3), np.uint8)
    for channel in range(3):
        pure[channel, ..., channel] = 255
    # .299, .587 and .114 of 255.
    for image in (pure, 2.0 * pure):  # cut at the maximum first
        np.testing.assert_array_equal(frame(image)[:, 0, 0, 0], [76, 150, 29])


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [("uint8", 100, 100), ("int32", 8, 128), ("float32", 17, 255)],
)
def test_all_pixels_but_uint8_are_divided_by_the_maximum(kind, value, expected):
    frame = framing.Frame(4, 1, framing.Appearance(16.0))
    framed = frame(np.full((1, 4, 4, 1), value, kind))
    np.testing.assert_array_equal(framed, expected)


@pytest.mark.parametrize(("background", "ink"), [(102, 255), (153, 0)])
def test_a_grey_background_turns_black_and_the_ink_white(background, ink):
    image = np.full((1, 8, 8, 1), background, np.uint8)
    image[:, 2:6, 2:6] = ink
    look = framing.Appearance(255.0, background / 255)
    expected = 255 * (image == ink)
    np.testing.assert_array_equal(framing.Frame(8, 1, look)(image), expected)


def test_ink_is_centred_wherever_it_was():
    frame = framing.Frame(12, 1, framing.Appearance(255.0, 0.0, 0.25))
    image = np.zeros((12, 12), np.uint8)
    image[4:9, 5:8] = 255
    image[4, 5] = 90
    moved = [np.roll(image, shift, (0, 1)) for shift in [(-4, 0), (3, 4)]]
    faint = np.roll(image, -4, 0) // 6
    framed = frame(np.stack([image, *moved, faint])[..., None])[..., 0].numpy()
    np.testing.assert_array_equal(framed[0], framed[1])
    np.testing.assert_array_equal(framed[0], framed[2])
    np.testing.assert_array_equal(framed[0] // 6, framed[3])
    rows, columns = np.nonzero(framed[0])
    # The box is odd, the frame even: it lies half a pixel off the middle.
    assert rows.min() + rows.max() in (10, 12)
    assert columns.min() + columns.max() in (10, 12)


def test_what_leaves_the_frame_when_it_is_enlarged_is_brought_back():
    frame = framing.Frame(12, 1, framing.Appearance(255.0, 0.0, 0.1))
    image = np.zeros((12, 12), np.uint8)
    image[:2, :2] = 255
    framed = frame(image[None, ..., None])[0, ..., 0].numpy()
    assert framed.sum() > 0.9 * 255 * 5 * 5
    assert not framed[[0, -1]].any()


def test_an_image_without_ink_stays_empty():
    frame = framing.Frame(12, 1, framing.Appearance(255.0, 0.0, 0.25))
    assert not frame(np.zeros((1, 9, 9, 1), np.uint8)).numpy().any()


def test_photographs_are_cut_from_the_centre():
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, 5:15] = 255
    framed = framing.Frame(10, 3, framing.Appearance(255.0))(image[None])
    np.testing.assert_array_equal(framed, 255)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no images"),
        ([np.full((4, 4), np.nan)], "finite and not negative. Received: nan"),
        ([np.full((4, 4), -1.0)], "Received: -1.0"),
        ([np.zeros((4, 4, 7))], r"shape \(4, 4, 7\)"),
        ([np.zeros(4)], r"shape \(4,\)"),
    ],
)
def test_measure_refuses(images, message):
    with pytest.raises(InputError, match=message):
        framing.measure(images)


@pytest.mark.parametrize(("size", "channels"), [(2, 1), (12, 2)])
def test_frame_refuses(size, channels):
    with pytest.raises(InputError, match="Received: "):
        framing.Frame(size, channels, framing.Appearance(1.0))


def test_real_digits_of_two_data_sets_get_one_size(shared_data):
    radii = []
    for name in ("mnist", "usps"):
        raw = loaders.load(f"npz:{shared_data / name}.npz")
        look = framing.measure(raw.images[:300])
        framed = framing.Frame(32, 1, look)(raw.images[:300]).numpy()
        radii.append(framing.measure(framed).radius)
    assert radii[0] == pytest.approx(radii[1], rel=0.05)
    assert radii[0] == pytest.approx(framing.RADIUS, rel=0.05)
