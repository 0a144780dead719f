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

from tf_transfer.data import pixel_operations as operations
from tf_transfer.data.raw import pixel_values
from tf_transfer.errors import InputError
from tf_transfer.utils.storage.json_fields import Fields

RADIUS = 0.25
_MOST_SIDE = 2**15
_MAXIMA = (1e-6, 1e9)
_LEAST_RADIUS = 0.05
_PLAIN_SHARE = 0.45
_PLAIN_SHADE = 0.1


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


def _grey(image: np.ndarray) -> np.ndarray:
    """Returns grey `[H, W]` for pixels `[H, W, 1 to 4]` in 0..1."""
    if image.shape[-1] in (2, 4):
        image = operations.opaque(image[None, ..., :-1], image[None, ..., -1:])[
            0
        ].numpy()
    return image[..., 0] if image.shape[-1] == 1 else operations.luma(image)


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

    def __call__(self, images):
        """Frames a batch of images of equal size, in TensorFlow operations.

        Loading data and serving a model both use this implementation. It takes
        arrays and tensors, also of unknown size.

        Args:
            images: `[N, H, W, channels]` with 1 to 4 channels; uint8 in
                0..255, or numbers in 0..`appearance.maximum`.

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
            pixels = operations.opaque(
                pixels, tf.where(shape[3] % 2 == 0, last, 1.0)
            )
        if self.channels == 1:
            pixels = tf.expand_dims(operations.luma(pixels), -1)
        if appearance.background is not None:
            dark = appearance.background
            if dark > 0.5:
                pixels, dark = 1 - pixels, 1 - dark
            pixels = tf.maximum(pixels - dark, 0) / (1 - dark)
        sides = tf.cast(shape[1:3], tf.float32)
        if appearance.background is None:
            zoom = self.size / tf.reduce_min(sides)
            rows, columns = (
                operations.resampling(sides[i], zoom, self.size)[0]
                for i in (0, 1)
            )
            pixels = tf.tensordot(pixels, rows, [[1], [1]])
            pixels = tf.tensordot(pixels, columns, [[1], [1]])
            pixels = tf.transpose(pixels, [0, 2, 3, 1])
        else:
            longer = tf.reduce_max(sides)
            zoom = RADIUS * self.size / (appearance.radius * longer)
            middles = operations.middles(tf.reduce_mean(pixels, axis=3), sides)
            rows, columns = (
                operations.resampling(sides[i], zoom, self.size, middles[i])
                for i in (0, 1)
            )
            pixels = tf.einsum("nsh,nhwc->nswc", rows, pixels)
            pixels = tf.einsum("ntw,nswc->nstc", columns, pixels)
        return operations.levels(pixels)

    def photographs(self, images):
        """Frames photographs as a call does, in a fifth of the time.

        It uses an operation that other runtimes than TensorFlow lack. Values
        between two levels may fall to the other one.

        Args:
            images: `[N, H, W, 1 or 3]` uint8, without a plain background.

        Returns:
            A tensor `[N, size, size, channels]`, uint8.
        """
        import tensorflow as tf

        sides = tf.cast(tf.shape(images)[1:3], tf.float32)
        zoom = self.size / tf.reduce_min(sides)
        zoomed = tf.maximum(1.0, tf.round(sides * zoom))
        pixels = tf.raw_ops.ScaleAndTranslate(
            images=images,
            size=[self.size, self.size],
            scale=zoomed / sides,
            translation=-tf.floor((zoomed - self.size) / 2),
            kernel_type="triangle",
        )
        if self.channels == 1 and pixels.shape[3] == 3:
            pixels = tf.expand_dims(operations.luma(pixels), -1)
        if self.channels == 3 and pixels.shape[3] == 1:
            pixels = tf.repeat(pixels, 3, axis=3)
        return operations.levels(pixels / 255)

    def compiled(self):
        """Returns this frame as a function of float32 batches, traced once."""
        import tensorflow as tf

        return tf.function(
            self, input_signature=[tf.TensorSpec([None] * 4, tf.float32)]
        )
