"""Classes for a source that has none: clusters of its images' features."""

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.models.inference import stream_features
from tf_transfer.models.patch_encoder import PatchEncoder
from tf_transfer.utils import checks, environment

_SAMPLE = 20_000  # images from which the centres are found
_STARTS, _BATCH = 3, 2048


class Clusters:
    """Clusters of images, by k-means of an encoder's features.

    Features have mean 0 and norm 1, so that their directions count. The
    centres are found from at most 20,000 images; the others are assigned as
    they stream by.

    Args:
        images: the images, whose labels are ignored.
        num_clusters: the number of clusters K.
        encoder: a model from images to features `[B, D]`. If None, one is
            learned from the images: see `patch_encoder`.
        seed: of the sample and of k-means.

    Attributes:
        labels: the cluster of each image, `[N]` int32.

    Raises:
        InputError: if there are fewer images than clusters, fewer clusters
            than two, or features are not finite.
    """

    def __init__(
        self,
        images: ImageData,
        num_clusters: int,
        encoder: keras.Model | None = None,
        *,
        seed: int = 0,
    ):
        from sklearn.cluster import MiniBatchKMeans  # a second to import

        count = len(images.labels)
        checks.check_seed(seed)
        checks.check_class_count(num_clusters, "num_clusters")
        if not 2 <= num_clusters <= count:
            raise InputError(
                f"`num_clusters` must be from 2 to the number of images, "
                f"{count}. Received: {num_clusters}"
            )
        order = np.random.default_rng(seed).permutation(count)
        if encoder is None:
            encoder = PatchEncoder(images.images, seed)
        self._encoder = encoder
        sample = images.take(np.sort(order[: max(_SAMPLE, num_clusters)]))
        batches = stream_features(encoder, sample.batches())
        features = np.concatenate([rows for rows, _ in batches])
        self._mean = features.mean(axis=0)
        means = MiniBatchKMeans(
            num_clusters, random_state=seed, n_init=_STARTS, batch_size=_BATCH
        )
        with environment.one_thread():
            self._means = means.fit(self._directions(features))
        self.labels = self.assigned(images.batches())

    def assigned(self, batches: tf.data.Dataset) -> np.ndarray:
        """Returns the clusters of other images, `[N]` int32."""
        found = [np.zeros(0, np.int32)]
        with environment.one_thread():
            for features, _ in stream_features(self._encoder, batches):
                found.append(self._means.predict(self._directions(features)))
        return np.concatenate(found).astype(np.int32)

    def _directions(self, features: np.ndarray) -> np.ndarray:
        """Returns features of norm 1, relative to the mean."""
        features = features - self._mean
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        return features / np.maximum(norms, 1e-12)


def cluster(
    images: ImageData,
    num_clusters: int,
    encoder: keras.Model | None = None,
    *,
    seed: int = 0,
) -> ImageData:
    """Returns the images with clusters as their classes.

    The clusters are those of k-means of an encoder's features, of mean 0 and
    norm 1. The centres are found from at most 20,000 images.

    Args:
        images: the images, whose labels are ignored.
        num_clusters: the number of clusters.
        encoder: a model from images to features `[B, D]`. If None, one is
            learned from the images alone (Coates, Ng and Lee 2011); see
            `models.patch_encoder`.
        seed: of the sample and of k-means.

    Returns:
        The same images, with the classes `cluster 1`, `cluster 2` and so on.

    Raises:
        InputError: if there are fewer images than clusters, fewer clusters
            than two, or features are not finite.

    Example:

    >>> images = np.repeat([20, 200], 30)[:, None, None, None]
    >>> noise = np.random.default_rng(0).integers(0, 9, (60, 8, 8, 1))
    >>> images = ImageData((images + noise).astype(np.uint8),
    ...                    np.zeros(60, np.int32), ["any"])
    >>> flat = keras.Sequential([keras.Input((8, 8, 1)),
    ...                          keras.layers.Flatten()])
    >>> labels = cluster(images, 2, flat).labels
    >>> len(set(labels[:30])), len(set(labels[30:])), len(set(labels))
    (1, 1, 2)
    """
    found = Clusters(images, num_clusters, encoder, seed=seed)
    return with_clusters(images, found.labels, num_clusters)


def with_clusters(
    images: ImageData, labels: np.ndarray, num_clusters: int
) -> ImageData:
    """Returns the images with clusters `[N]` as their classes."""
    digits = len(str(num_clusters))
    names = [f"cluster {c + 1:0{digits}}" for c in range(num_clusters)]
    return ImageData(images.images, labels, names, images.test, images.frame)
