"""What framing does to pixels, in TensorFlow operations."""

_INK_SHARE = 0.2


def luma(image):
    """Returns grey `[..., H, W]` for colours `[..., H, W, 3]`.

    Written so that equal channels give exactly their value.
    """
    red, green, blue = (image[..., i] for i in range(3))
    return red + 0.587 * (green - red) + 0.114 * (blue - red)


def opaque(colour, alpha):
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


def resampling(side, zoom, size: int, middle=None):
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


def middles(ink, sides):
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


def levels(pixels):
    """Returns 0..255 uint8 for pixels in 0..1."""
    import tensorflow as tf

    # A little more than a half: ties differ in their last bits, as runtimes
    # add in different orders, but all must round up.
    levels = tf.floor(tf.clip_by_value(pixels, 0, 1) * 255 + 0.501)
    return tf.cast(levels, tf.uint8)
