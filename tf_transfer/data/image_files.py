"""Images before framing: of any size, and perhaps still encoded."""

import dataclasses
import io
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from tf_transfer.errors import InputError

MAX_PIXELS = 50_000_000
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")


@dataclasses.dataclass(frozen=True, eq=False)
class RawImages:
    """A data set before framing.

    Attributes:
        images: `[N, H, W]` or `[N, H, W, channels]`, or a sequence of `[H,
            W, channels]` arrays of any sizes.
        labels: `[N]` integers.
        class_names: one name per class.
        test: indices of the data set's own test part, or None.
    """

    images: np.ndarray | Sequence[np.ndarray]
    labels: np.ndarray
    class_names: list[str]
    test: np.ndarray | None = None


class EncodedImages(Sequence):
    """A sequence of image files that decodes each image on access.

    Args:
        items: file names (str) or encoded images (bytes).
        max_pixels: an image with more pixels is refused before it is decoded.
    """

    def __init__(
        self, items: Sequence[str | bytes], max_pixels: int = MAX_PIXELS
    ):
        self.items = items
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> np.ndarray:
        import tensorflow as tf

        item = self.items[index]
        name = item if isinstance(item, str) else f"image {index}"
        try:
            content = item
            if isinstance(item, str):
                content = pathlib.Path(item).read_bytes()
            pixels = _pixels(content)
            if pixels <= self.max_pixels:
                image = tf.io.decode_image(content, expand_animations=False)
                return image.numpy()
        except (OSError, SyntaxError, ValueError, tf.errors.OpError) as error:
            raise InputError(
                f"The image cannot be read. Received: {name!a}"
            ) from error
        raise InputError(
            f"The image has more than {self.max_pixels} pixels "
            f"(`data.max_pixels`). Received: {name!a} with {pixels}"
        )


def _pixels(content: bytes) -> int:
    """Returns how many pixels an encoded image has, from its header alone."""
    import PIL.Image

    with warnings.catch_warnings():
        # Our limit replaces Pillow's own, which are a warning and an error.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        try:
            with PIL.Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                return image.width * image.height
        except PIL.Image.DecompressionBombError:
            return 2 * PIL.Image.MAX_IMAGE_PIXELS
