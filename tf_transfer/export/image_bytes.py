"""The decoding of image files, as TensorFlow operations of a SavedModel.

Their results equal those of `data.raw.image_files` for JPEG and PNG, but for an
orientation that is stored in XMP alone, which only training sees.
"""

import tensorflow as tf

from tf_transfer.data.raw.image_files import PNG

_PADDING = b"\0" * 16  # so that no read lies outside
_MOST_SEGMENTS = 10_000
_TAG = 0x0112
_ENTRY = 12  # bytes of a tag
_LONG = 4  # the type of numbers of 4 bytes


def decode(content: tf.Tensor, channels: int, maximum: float) -> tf.Tensor:
    """Decodes one JPEG or PNG and turns it upright.

    Args:
        content: the file, a scalar string.
        channels: of the result; 0 for those of the file.
        maximum: if above 255, a 16-bit PNG keeps its values, and 255 becomes
            `maximum` in any other file. Otherwise 16 bits are cut to 8.

    Returns:
        `[H, W, channels]`, float32 if `maximum` is above 255, else uint8.
    """

    def shallow():
        return tf.io.decode_image(content, channels, expand_animations=False)

    def scaled():
        return tf.cast(shallow(), tf.float32) * (maximum / 255)

    def deep():
        image = tf.io.decode_png(content, channels, tf.uint16)
        return tf.cast(image, tf.float32)

    if maximum > 255:
        depth = tf.strings.substr(_padded(content), 24, 1)
        is_deep = _is_png(content) & (depth == b"\x10")
        image = tf.cond(is_deep, deep, scaled)
    else:
        image = shallow()
    return _upright(image, orientation(content))


def pixels(content: tf.Tensor) -> tf.Tensor:
    """Returns the number of pixels in the header of a JPEG or PNG.

    Any other file counts as too large, so that it is never decoded.
    """

    def jpeg():
        return tf.cast(tf.image.extract_jpeg_shape(content)[:2], tf.int64)

    def png():
        header = tf.io.decode_raw(tf.strings.substr(content, 16, 8), tf.uint8)
        place = tf.constant([2**24, 2**16, 2**8, 1], tf.int64)
        sides = tf.reshape(tf.cast(header, tf.int64), [2, 4])
        return tf.where(
            _is_png(content), tf.reduce_sum(sides * place, axis=1), 2**31
        )

    return tf.reduce_prod(tf.cond(tf.io.is_jpeg(content), jpeg, png))


def orientation(content: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation, 1 to 8, of a JPEG or PNG; 1 if none."""
    padded = _padded(content)

    def in_jpeg():
        return _find(padded, 2, _jpeg_segment)

    def in_png():
        return _find(padded, len(PNG), _png_chunk)

    def none():
        return tf.constant(-1)

    start = tf.case(
        [(tf.io.is_jpeg(content), in_jpeg), (_is_png(content), in_png)],
        default=none,
    )
    return tf.cond(start > 0, lambda: _read(padded, start), lambda: 1)


def _is_png(content: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(content, 0, len(PNG)) == PNG


def _padded(content: tf.Tensor) -> tf.Tensor:
    return tf.strings.join([content, _PADDING])


def _cut(padded: tf.Tensor, start: tf.Tensor, count: int) -> tf.Tensor:
    """Returns some bytes of a string; zeros if they lie outside."""
    last = tf.strings.length(padded) - len(_PADDING)
    inside = (start >= 0) & (start <= last)
    start = tf.where(inside, start, last)
    return tf.strings.substr(padded, start, count)


def _number(
    padded: tf.Tensor, start: tf.Tensor, count: int, little=False
) -> tf.Tensor:
    """Reads an unsigned number of 2 or 4 bytes; at most 2**31 - 1."""
    values = tf.io.decode_raw(_cut(padded, start, count), tf.uint8)
    values = tf.cast(tf.reshape(values, [count]), tf.int64)
    values = tf.where(little, values[::-1], values)
    places = tf.constant([256**i for i in reversed(range(count))], tf.int64)
    number = tf.minimum(tf.reduce_sum(values * places), 2**31 - 1)
    return tf.cast(number, tf.int32)


def _find(padded: tf.Tensor, first: int, segment) -> tf.Tensor:
    """Returns where the EXIF data start, or a negative number.

    Args:
        padded: the file.
        first: where its first segment starts.
        segment: from a place to the place of the next segment, or to 0 if it
            is the last, and to the place of EXIF data, or to a negative
            number.
    """
    limit = tf.strings.length(padded)

    def step(place, found):
        following, found = segment(padded, place)
        inside = (following > place) & (following < limit)
        return tf.where(inside, following, 0), found

    _, found = tf.while_loop(
        lambda place, found: (place > 0) & (found < 0),
        step,
        (tf.constant(first), tf.constant(-1)),
        maximum_iterations=_MOST_SEGMENTS,
    )
    return found


def _jpeg_segment(padded, place):
    marker = _cut(padded, place, 2)
    name = _cut(padded, place + 4, 6)
    is_exif = (marker == b"\xff\xe1") & (name == b"Exif\0\0")
    length = _number(padded, place + 2, 2)
    is_marker = tf.strings.substr(marker, 0, 1) == b"\xff"
    is_last = ~is_marker | (marker == b"\xff\xda") | (marker == b"\xff\xd9")
    following = tf.where(marker == b"\xff\xff", place + 1, place + 2 + length)
    return tf.where(is_last, 0, following), tf.where(is_exif, place + 10, -1)


def _png_chunk(padded, place):
    name = _cut(padded, place + 4, 4)
    following = place + 12 + _number(padded, place, 4)
    following = tf.where(name == b"IEND", 0, following)
    return following, tf.where(name == b"eXIf", place + 8, -1)


def _read(padded: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in EXIF data that start at a place."""
    little = _cut(padded, start, 2) == b"II"
    directory = start + _number(padded, start + 4, 4, little)
    count = _number(padded, directory, 2, little)
    entries = _cut(padded, directory + 2, _ENTRY * count)
    entries = tf.cast(tf.io.decode_raw(entries, tf.uint8), tf.int32)
    whole = _ENTRY * (tf.size(entries) // _ENTRY)
    entries = tf.reshape(entries[:whole], [-1, _ENTRY])

    def pair(place):
        """Returns a number of two bytes of each entry."""
        low, high = entries[:, place], entries[:, place + 1]
        return tf.where(little, low + 256 * high, 256 * low + high)

    first, second = pair(8), pair(10)
    low = tf.where(little, first, second)
    high = tf.where(little, second, first)
    longs = tf.where(high > 0, 0, low)
    values = tf.where(pair(2) == _LONG, longs, first)
    value = tf.reduce_sum(tf.where(pair(0) == _TAG, values, 0))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _upright(image: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Turns an image `[H, W, channels]` with an EXIF orientation."""

    def turned():
        axes = tf.where(turn >= 5, [1, 0, 2], [0, 1, 2])
        rows = (turn == 3) | (turn == 4) | (turn >= 7)
        columns = (turn == 2) | (turn == 3) | (turn == 6) | (turn == 7)
        flipped = tf.boolean_mask([0, 1], tf.stack([rows, columns]))
        return tf.reverse(tf.transpose(image, axes), flipped)

    return tf.cond(turn == 1, lambda: image, turned)
