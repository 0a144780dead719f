"""Framing: brings the images of different data sets to one appearance.

The importance weights compare source and target through one classifier. That
fails if a digit fills its frame in one data set and half of it in the other.
So every data set is measured on its own, without labels, and brought to one
size, scale and polarity:

* Values become 0..1. 8-bit pixels are divided by 255; 16-bit pixels by the
  largest number of the 8, 10, 12, 14 or 16 bits that the data set's brightest
  pixel needs; other integers by 255 and floating point numbers by 1, or by the
  largest value of the measured sample if that is larger.
* Images become grey or colour: luma for one channel, repetition for three.
  Transparent pixels become white, or black if the rest of the image is light.
* If many border pixels have one shade, the data set has a *plain background*.
  It becomes light ink on black. It is zoomed so that the median over the images
  of the ink's root-mean-square distance from its centre is `RADIUS` of the
  frame's side. Then the box around each image's ink is centred, by whole
  pixels: data sets differ in what they centre, and that alone can decide
  whether a classifier of one recognises the other.
* Any other data set (photographs) is scaled to cover the frame, and cropped.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_transfer.data.raw import pixel_values
from tf_transfer.errors import InputError
from tf_transfer.utils.storage.json_fields import Fields

RADIUS = 0.25
_MOST_SIDE = 2**15
_MAXIMA = (1e-6, 1e9)
_LEAST_RADIUS = 0.05
_PLAIN_SHARE = 0.45
_PLAIN_SHADE = 0.1
_INK_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Appearance:
    """How the images of one data set look.

    Attributes:
        maximum: the stored value that becomes 1.
        background: common shade of the borders in 0..1, or None.
        radius: root-mean-square distance of the ink from its centre, as a
            share of the longer image side.

    Example:

    >>> dark = Appearance(maximum=16.0, background=0.0)
    >>> Frame(size=8, channels=1, appearance=dark).size
    8
    """

    maximum: float
    background: float | None = None
    radius: float = RADIUS


def as_hwc(image: np.ndarray) -> np.ndarray:
    """Returns `[H, W]` or `[H, W, channels]` pixels as `[H, W, 1 to 4]`."""
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 2, 3, 4):
        raise InputError(
            "Images must be [H, W], or [H, W, channels] with 1 to 4 channels. "
            f"Received: shape {image.shape}"
        )
    return image


def _luma(image):
    """Returns grey `[..., H, W]` for colours `[..., H, W, 3]`.

    Written so that equal channels give exactly their value.
    """
    red, green, blue = (image[..., i] for i in range(3))
    return red + 0.587 * (green - red) + 0.114 * (blue - red)


def _grey(image: np.ndarray) -> np.ndarray:
    """Returns grey `[H, W]` for pixels `[H, W, 1 to 4]` in 0..1."""
    if image.shape[-1] in (2, 4):
        image = _opaque(image[None, ..., :-1], image[None, ..., -1:])[0].numpy()
    return image[..., 0] if image.shape[-1] == 1 else _luma(image)


def _opaque(colour, alpha):
    """Puts transparent pixels on white, or on black if the rest is light.

    Args:
        colour: in 0..1, `[N, H, W, 1 or 3]`.
        alpha: opacity in 0..1, `[N, H, W, 1]`.
    """
    import tensorflow as tf

    axes = [1, 2, 3]
    visible = tf.reduce_mean(colour * alpha, axes, keepdims=True)
    light = visible > tf.reduce_mean(alpha, axes, keepdims=True) / 2
    return colour * alpha + tf.where(light, 0.0, 1.0) * (1 - alpha)


def _resampling(side, zoom, size: int, middle=None):
    """Returns the matrices `[N, size, side]` that scale and cut one axis.

    The axis is scaled to `side * zoom` pixels by linear interpolation, with
    antialiasing if it shrinks; then `size` pixels around the middle are cut out
    or padded with zeros. A product with a matrix converts to every runtime.

    Args:
        side: pixels along the axis, a float32 scalar tensor.
        zoom: factor of the scaling, a float32 scalar tensor.
        size: pixels of the result.
        middle: the point that becomes the middle, in pixels from the start of
            the axis, `[N]`; None for the middle of the axis, with N = 1.
    """
    import tensorflow as tf

    zoomed = tf.maximum(1.0, tf.round(side * zoom))
    step = side / zoomed
    spare = zoomed - size
    cut = tf.floor(tf.maximum(spare, 0.0) / 2)
    first = (cut - tf.floor(tf.maximum(-spare, 0.0) / 2))[None]
    if middle is not None:
        # A little more than a half, as in `Frame`.
        first = tf.floor(middle / step - size / 2 + 0.501)
    place = tf.range(float(size)) + first[:, None]
    centre = (place + 0.5) * step
    distance = tf.abs(tf.range(side) + 0.5 - centre[..., None])
    share = tf.nn.relu(1 - distance / tf.maximum(step, 1.0))
    total = tf.reduce_sum(share, axis=-1, keepdims=True)
    inside = (place >= 0) & (place < zoomed)
    return tf.where(inside[..., None], share / tf.maximum(total, 1e-6), 0.0)


def _cover(pixels, sides, size: int):
    """Scales `[N, H, W, channels]` to cover a frame, and cuts the middle."""
    import tensorflow as tf

    zoom = size / tf.reduce_min(sides)
    rows, columns = (_resampling(sides[i], zoom, size)[0] for i in (0, 1))
    pixels = tf.tensordot(pixels, rows, [[1], [1]])
    pixels = tf.tensordot(pixels, columns, [[1], [1]])
    return tf.transpose(pixels, [0, 2, 3, 1])


def _cover_by_kernel(pixels, sides, size: int):
    """Does what `_cover` does, by an operation of TensorFlow alone."""
    import tensorflow as tf

    zoomed = tf.maximum(1.0, tf.round(sides * size / tf.reduce_min(sides)))
    return tf.raw_ops.ScaleAndTranslate(
        images=pixels,
        size=[size, size],
        scale=zoomed / sides,
        translation=-tf.floor(tf.maximum(zoomed - size, 0.0) / 2),
        kernel_type="triangle",
        antialias=True,
    )


def _middles(ink, sides):
    """Returns the middles of ink `[N, H, W]`: rows and columns, `[N]` each."""
    import tensorflow as tf

    strongest = tf.reduce_max(ink, axis=[1, 2], keepdims=True)
    inked = tf.cast(ink > _INK_SHARE * strongest, tf.float32)
    middles = []
    for axis, side in ((2, sides[0]), (1, sides[1])):
        line = tf.reduce_max(inked, axis=axis)
        place = tf.range(side)
        last = tf.reduce_max(line * (place + 1), axis=1)
        first = side - tf.reduce_max(line * (side - place), axis=1)
        # The middle of the image where there is no ink.
        middles.append((first + last) / 2)
    return middles


def _ink_radius(ink: np.ndarray) -> float:
    """Returns the RMS distance of ink `[H, W]` from its centre, in pixels."""
    total = ink.sum()
    if not total:
        return np.nan
    rows, columns = np.indices(ink.shape)
    row = (ink * rows).sum() / total
    column = (ink * columns).sum() / total
    spread = ink * ((rows - row) ** 2 + (columns - column) ** 2)
    return float(np.sqrt(spread.sum() / total))


def measure(
    images: Sequence[np.ndarray], maximum: float | None = None
) -> Appearance:
    """Measures a sample of images, each `[H, W]` or `[H, W, channels]`.

    Args:
        images: the sample.
        maximum: the stored value of full brightness; None to tell it from the
            type of the images and their largest value.

    Raises:
        InputError: if there are no images, or an image has another shape or a
            value that is negative, not finite or too large.
    """
    if not len(images):
        raise InputError("There are no images to measure. Received: 0 images")
    images = [as_hwc(image) for image in images]
    for image in images:
        pixel_values.check_values(image)
    maximum = maximum or pixel_values.full_brightness(images)
    greys = [_grey(image.astype(np.float32) / maximum) for image in images]
    border = np.concatenate(
        [np.concatenate([g[0], g[-1], g[:, 0], g[:, -1]]) for g in greys]
    )
    background = float(np.median(border))
    if (np.abs(border - background) < _PLAIN_SHADE).mean() < _PLAIN_SHARE:
        return Appearance(maximum)
    radii = [_ink_radius(abs(g - background)) / max(g.shape) for g in greys]
    if np.isnan(radii).all():
        return Appearance(maximum)
    # Without a floor, a data set of dots would be enlarged without bound.
    radius = max(_LEAST_RADIUS, float(np.nanmedian(radii)))
    return Appearance(maximum, background, radius)


@dataclasses.dataclass(frozen=True)
class Frame:
    """Maps images of one appearance to `[size, size, channels]` uint8.

    Args:
        size: side of the result in pixels.
        channels: 1 (grey) or 3 (colour).
        appearance: of the data set, as `measure` returns it.

    Raises:
        InputError: if `size` is below 4, or `channels` is neither 1 nor 3.

    Example:

    >>> frame = Frame(8, 1, Appearance(maximum=255.0, background=0.0))
    >>> frame(np.zeros((2, 20, 16, 3), np.uint8)).shape
    TensorShape([2, 8, 8, 1])
    """

    size: int
    channels: int
    appearance: Appearance

    def __post_init__(self):
        if self.size < 4:
            raise InputError(
                f"`image_size` must be at least 4. Received: {self.size}"
            )
        if self.channels not in (1, 3):
            raise InputError(
                f"`channels` must be 1 or 3. Received: {self.channels}"
            )

    @classmethod
    def from_json(cls, fields: Fields) -> "Frame":
        """Reads what `dataclasses.asdict` makes of a frame."""
        look = fields.object("appearance")
        background = look.content.get("background")
        return cls(
            fields.integer("size", 1, _MOST_SIDE),
            fields.integer("channels", 1, 4),
            Appearance(
                maximum=look.between("maximum", *_MAXIMA),
                background=None
                if background is None
                else look.between("background", 0, 1),
                radius=look.between("radius", 0, 1),
            ),
        )

    def __call__(self, images, portable: bool = True):
        """Frames a batch of images of equal size, in TensorFlow operations.

        Loading data and serving a model both use this implementation. It takes
        arrays and tensors, also of unknown size.

        Args:
            images: `[N, H, W, channels]` with 1 to 4 channels; uint8 in
                0..255, or numbers in 0..`appearance.maximum`.
            portable: use operations that every runtime has. False scales
                large photographs in a quarter of the time; values that lie
                between two levels may then fall to the other one.

        Returns:
            A tensor `[N, size, size, channels]`, uint8.
        """
        import tensorflow as tf

        appearance = self.appearance
        images = tf.convert_to_tensor(images)
        maximum = 255.0 if images.dtype == tf.uint8 else appearance.maximum
        pixels = tf.minimum(tf.cast(images, tf.float32) / maximum, 1.0)
        shape = tf.shape(images)
        colour = tf.range(3) * tf.cast(shape[3] >= 3, tf.int32)
        last, pixels = pixels[..., -1:], tf.gather(pixels, colour, axis=3)
        if images.shape[3] not in (1, 3):  # the last may be transparency
            pixels = _opaque(pixels, tf.where(shape[3] % 2 == 0, last, 1.0))
        if self.channels == 1:
            pixels = tf.expand_dims(_luma(pixels), -1)
        if appearance.background is not None:
            dark = appearance.background
            if dark > 0.5:
                pixels, dark = 1 - pixels, 1 - dark
            pixels = tf.maximum(pixels - dark, 0) / (1 - dark)
        sides = tf.cast(shape[1:3], tf.float32)
        if appearance.background is None:
            cover = _cover if portable else _cover_by_kernel
            pixels = cover(pixels, sides, self.size)
        else:
            longer = tf.reduce_max(sides)
            zoom = RADIUS * self.size / (appearance.radius * longer)
            middles = _middles(tf.reduce_mean(pixels, axis=3), sides)
            rows, columns = (
                _resampling(sides[i], zoom, self.size, middles[i])
                for i in (0, 1)
            )
            pixels = tf.einsum("nsh,nhwc->nswc", rows, pixels)
            pixels = tf.einsum("ntw,nswc->nstc", columns, pixels)
        # A little more than a half: ties differ in their last bits, as runtimes
        # add in different orders, but all must round up.
        levels = tf.floor(tf.clip_by_value(pixels, 0, 1) * 255 + 0.501)
        return tf.cast(levels, tf.uint8)

    def compiled(self):
        """Returns this frame as a function of float32 batches, traced once."""
        import tensorflow as tf

        return tf.function(
            self, input_signature=[tf.TensorSpec([None] * 4, tf.float32)]
        )
