"""An encoder that is learned from images alone, in one pass and in seconds.

It is the single-layer network of Coates, Ng and Lee (2011): filters are the
centres of k-means on whitened patches, and a filter answers to a patch by how
much nearer the patch is to it than to the average filter. The answers are
summed up in the four quarters of the image.
"""

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.utils import environment

_FILTERS, _PATCHES = 128, 100_000
_IMAGES, _BLOCK = 5_000, 256  # looked at, and read together
_SIDE, _STRIDE = 6, 2  # of a patch, and between patches
_LARGEST = 32  # side of the images that it looks at
_CONTRAST = (10 / 255) ** 2  # added to the variance of a patch
_WHITENING = 0.1
_SMALL = 1e-6


class PatchEncoder(keras.Model):
    """Maps images in 0..1 to how much their parts look like typical patches.

    Args:
        images: `[N, H, W, channels]` uint8, of the kind that it will be used
            for; at most 5,000 of them are looked at.
        seed: of the patches that are drawn, and of k-means.

    Example:

    >>> images = np.random.default_rng(0).integers(0, 255, (20, 12, 12, 1))
    >>> encoder = PatchEncoder(images.astype(np.uint8), seed=0)
    >>> encoder(np.zeros((2, 12, 12, 1), np.float32)).shape
    TensorShape([2, 512])
    """

    def __init__(self, images: np.ndarray, seed: int = 0):
        super().__init__(name="patch_encoder")
        rng = np.random.default_rng(seed)
        used = np.sort(rng.permutation(len(images))[:_IMAGES])
        small = np.concatenate(
            [
                self._shrunk(images[part] / np.float32(255)).numpy()
                for part in np.split(used, range(_BLOCK, len(used), _BLOCK))
            ]
        )
        place = rng.integers(0, len(used), _PATCHES)
        self.side = min(_SIDE, *small.shape[1:3])
        patches = _normalised(_drawn(small, place, self.side, rng))
        mean, whitening = _whitening(patches)
        centres = _centres((patches - mean) @ whitening, seed)
        self.mean = tf.constant(mean @ whitening, tf.float32)
        self.centres = tf.constant(centres, tf.float32)
        kernel = whitening.reshape(self.side, self.side, small.shape[-1], -1)
        self.kernel = tf.constant(kernel, tf.float32)

    @staticmethod
    def _shrunk(images):
        """Returns images of at most 32 pixels a side."""
        size = [min(side, _LARGEST) for side in images.shape[1:3]]
        if size == list(images.shape[1:3]):
            return tf.convert_to_tensor(images)
        return tf.image.resize(images, size, method="area")

    def call(self, images):
        """Returns the features `[B, 4 filters]`."""
        images = self._shrunk(tf.cast(images, tf.float32))
        ones = tf.ones_like(self.kernel[..., :1])
        count = tf.size(ones, tf.float32)

        def over_patches(values, kernel):
            return tf.nn.conv2d(values, kernel, _STRIDE, "VALID")

        mean = over_patches(images, ones) / count
        square = over_patches(images**2, ones) / count
        deviation = tf.sqrt(tf.maximum(square - mean**2, 0) + _CONTRAST)
        # The patches are normalised after they are whitened: both are linear.
        white = over_patches(images, self.kernel)
        white -= mean * tf.reduce_sum(self.kernel, axis=[0, 1, 2])
        white = white / deviation - self.mean
        squares = tf.reduce_sum(white**2, axis=-1, keepdims=True)
        squares += tf.reduce_sum(self.centres**2, axis=-1)
        products = tf.einsum("bhwd,kd->bhwk", white, self.centres)
        distances = tf.sqrt(tf.maximum(squares - 2 * products, _SMALL))
        usual = tf.reduce_mean(distances, axis=-1, keepdims=True)
        answers = tf.nn.relu(usual - distances)
        halves = [(side + 1) // 2 for side in answers.shape[1:3]]
        quarters = tf.nn.avg_pool2d(answers, halves, halves, "SAME")
        size = quarters.shape[1] * quarters.shape[2] * quarters.shape[3]
        return tf.reshape(quarters, [-1, size])


def _drawn(
    images: np.ndarray, rows: np.ndarray, side: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns a patch of each of some images, `[N, D]`."""
    height, width = images.shape[1:3]
    tops = rng.integers(0, height - side + 1, len(rows))
    lefts = rng.integers(0, width - side + 1, len(rows))
    inside = np.arange(side)
    patches = images[
        rows[:, None, None],
        (tops[:, None] + inside)[:, :, None],
        (lefts[:, None] + inside)[:, None, :],
    ]
    return patches.reshape(len(rows), -1)


def _normalised(patches: np.ndarray) -> np.ndarray:
    """Returns patches `[N, D]` of mean 0 and equal contrast."""
    mean = patches.mean(axis=1, keepdims=True)
    variance = patches.var(axis=1, keepdims=True)
    return (patches - mean) / np.sqrt(variance + _CONTRAST)


def _whitening(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean of patches `[D]`, and what whitens them, `[D, D]`."""
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(patches.T)))
    scale = 1 / np.sqrt(np.maximum(values, 0) + _WHITENING)
    return patches.mean(axis=0), (vectors * scale) @ vectors.T


@environment.one_thread()
def _centres(patches: np.ndarray, seed: int) -> np.ndarray:
    """Returns the centres of patches `[N, D]`, `[K, D]`."""
    from sklearn.cluster import MiniBatchKMeans  # a second to import

    means = MiniBatchKMeans(
        _FILTERS, random_state=seed, n_init=1, batch_size=4096, max_iter=20
    )
    return means.fit(patches.astype(np.float32)).cluster_centers_
