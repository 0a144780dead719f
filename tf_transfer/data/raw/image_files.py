"""Images before framing: of any size, and perhaps still encoded.

JPEG and PNG files are decoded by TensorFlow, as a served model decodes them;
GIF, BMP and WebP files by Pillow. 16-bit PNG files keep their 16 bits. Images
are turned as their EXIF orientation says. Of an animation, the first picture
is used. The one colour that a PNG without palette may declare transparent is
kept as any other.
"""

import contextlib
import dataclasses
import io
import os
import threading
import warnings
from collections.abc import Sequence

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils import messages
from tf_transfer.utils.storage import files

MAX_PIXELS = 50_000_000
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
JPEG = b"\xff\xd8\xff"
"""What a JPEG file starts with."""
PNG = b"\x89PNG\r\n\x1a\n"
"""What a PNG file starts with."""
_PNG_DEPTH = 24  # the byte of a PNG that holds the bits of a value
_BYTES_OF_PIXEL = 8  # four channels of 16 bits
_BYTES_BESIDE = 2**26  # for metadata and the pictures of an animation
_ONE_THREAD = threading.RLock()  # what Pillow's settings are good for
_ORIENTATION = 0x0112  # the EXIF tag


@dataclasses.dataclass(frozen=True, eq=False)
class RawImages:
    """A data set before framing.

    Attributes:
        images: `[N, H, W]` or `[N, H, W, channels]`, or a sequence of `[H,
            W, channels]` arrays of any sizes.
        labels: `[N]` integers.
        class_names: one name per class.
        test: indices of the data set's own test part, or None.
        files: that all of it was read from, by which it is known again; empty
            if it was not read from files.
    """

    images: np.ndarray | Sequence[np.ndarray]
    labels: np.ndarray
    class_names: list[str]
    test: np.ndarray | None = None
    files: Sequence[str] = ()

    def outside_test(self) -> np.ndarray:
        """Returns the indices of the images outside the test part, in order."""
        test = [] if self.test is None else self.test
        return np.setdiff1d(np.arange(len(self.labels)), test)


class UnreadableImageError(InputError):
    """An image file that cannot be read or decoded."""


class TooLargeImageError(InputError):
    """An image file with more pixels than allowed."""


class EncodedImages(Sequence):
    """A sequence of image files that decodes each image on access.

    Args:
        items: file names (str) or encoded images (bytes). They may be read
            on access; then their method `name` tells how one is called.
        max_pixels: an image with more pixels is refused before it is decoded.
    """

    def __init__(
        self, items: Sequence[str | bytes], max_pixels: int = MAX_PIXELS
    ):
        self.items = items
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.items)

    def shell_word(self, index: int) -> str:
        """Returns a file's name for a shell; `image 3` if it has no name."""
        name = self._name(index)
        unnamed = name == f"image {index}"
        return name if unnamed else messages.shell_word(name)

    def _name(self, index: int) -> str:
        if hasattr(self.items, "name"):
            return self.items.name(index)
        item = self.items[index]
        return item if isinstance(item, str) else f"image {index}"

    def content(self, index: int) -> bytes:
        """Returns an encoded image.

        Raises:
            OSError, UnreadableImageError: as `read_file`.
        """
        item = self.items[index]
        return (
            read_file(item, self.max_pixels) if isinstance(item, str) else item
        )

    def __getitem__(self, index: int) -> np.ndarray:
        try:
            return decode(self.content(index), self.max_pixels)
        except TooLargeImageError as error:
            raise TooLargeImageError(
                f"The image has more than {self.max_pixels} pixels "
                f"(`data.max_pixels`). Received: {self._name(index)!a} "
                f"with {error}"
            ) from error
        except (OSError, UnreadableImageError) as error:
            raise UnreadableImageError(
                f"The image cannot be read. Received: {self._name(index)!a}"
            ) from error


def read_file(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> bytes:
    """Returns the content of an image file.

    Raises:
        UnreadableImageError: if it is no regular file, or larger than an image
            of `max_pixels` pixels can be.
        OSError: if it cannot be read.
    """
    try:
        most = _BYTES_OF_PIXEL * max_pixels + _BYTES_BESIDE
        return files.read_regular(path, most)
    except InputError as error:
        raise UnreadableImageError(str(error)) from error


def decode(content: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes one image file, upright and at its full depth.

    Returns:
        `[H, W, 1 to 4 channels]`, uint16 for a 16-bit PNG and uint8 for any
        other file. An even number of channels ends in the opacity.

    Raises:
        TooLargeImageError: if it has more than `max_pixels` pixels; the
            message is their number.
        UnreadableImageError: if it cannot be decoded.
    """
    image = _open(content)
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise TooLargeImageError(str(pixels))
    if content.startswith((JPEG, PNG)):
        array = _by_tensorflow(content)
    else:
        array = _by_pillow(image)
    return upright(array, _orientation(image))


def as_jpeg_or_png(content: bytes, max_pixels: int = 4 * MAX_PIXELS) -> bytes:
    """Returns an image file as one that every served model reads upright.

    An upright JPEG or PNG, and an image with too many pixels, stay as they are:
    the model has a limit of its own.

    Raises:
        UnreadableImageError: if the file cannot be decoded.
    """
    import tensorflow as tf

    if content.startswith((JPEG, PNG)) and is_upright(content):
        return content
    try:
        return tf.io.encode_png(decode(content, max_pixels)).numpy()
    except TooLargeImageError:
        return content


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turns an image `[H, W, channels]` with an EXIF orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


@contextlib.contextmanager
def _pillow():
    """Turns Pillow's errors, which are of many types, into one of our own.

    Hides its warnings of damaged metadata. Its limit of pixels is lifted: we
    have our own.
    """
    import PIL.Image

    with _ONE_THREAD:
        limit, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield PIL.Image
        except Exception as error:
            raise UnreadableImageError("The image cannot be read.") from error
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = limit


def _open(content: bytes):
    """Opens an image with Pillow, which reads its header alone."""
    with _pillow() as pillow:
        return pillow.open(io.BytesIO(content), formats=_FORMATS)


def is_upright(content: bytes) -> bool:
    """Whether an image file says that it need not be turned.

    Raises:
        UnreadableImageError: if it is no image.
    """
    return _orientation(_open(content)) == 1


def _orientation(image) -> int:
    """Returns the EXIF orientation of a Pillow image; 1 if it has none."""
    try:
        with _pillow():
            orientation = image.getexif().get(_ORIENTATION, 1)
    except UnreadableImageError:  # of the metadata alone
        return 1
    return orientation if orientation in range(1, 9) else 1


def _by_tensorflow(content: bytes) -> np.ndarray:
    """Decodes a JPEG or PNG."""
    import tensorflow as tf

    try:
        if content.startswith(PNG) and content[_PNG_DEPTH] == 16:
            return tf.io.decode_png(content, dtype=tf.uint16).numpy()
        return tf.io.decode_image(content, expand_animations=False).numpy()
    except tf.errors.OpError as error:
        raise UnreadableImageError("The image cannot be read.") from error


def _by_pillow(image) -> np.ndarray:
    """Decodes the first picture of a GIF, BMP or WebP."""
    with _pillow():
        mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
        if image.has_transparency_data:
            mode += "A"
        array = np.asarray(image.convert(mode))
    return array[..., None] if array.ndim == 2 else array
