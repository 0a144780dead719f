"""Clusters as the classes of a source, which are found once and kept.

They lie in the folder of the cache, so that all processes of a run, and the
report after it, find the same ones.
"""

import hashlib
import json
import os
import pathlib

import keras
import numpy as np

from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.store import cache
from tf_transfer.datl.examples import clusters
from tf_transfer.errors import InputError
from tf_transfer.models import classifiers, encoders
from tf_transfer.utils.progress import note
from tf_transfer.utils.storage import archives, folders

_FOLDER = "clusters-v1"


def clustered(images: ImageData, config: Experiment) -> ImageData:
    """Returns a source with clusters as its classes.

    Args:
        images: the source; its labels are ignored.
        config: the number of clusters, the encoder and the cache.

    Raises:
        InputError: if there are fewer images than clusters, or the cache
            cannot be written.
    """
    # Two images make a cluster at least.
    count = max(2, min(config.data.clusters, len(images.labels) // 2))
    path = _path(images, count, config)
    labels = _read(path, len(images.labels), count)
    if labels is None:
        _make_folder(path)
        note(f"making {count} clusters of {len(images.labels):,} source images")
        labels = clusters.Clusters(
            images, count, _encoder(images, config)
        ).labels
        _write(path, labels)
        # Another process may have found others at the same time.
        stored = _read(path, len(images.labels), count)
        labels = labels if stored is None else stored
    return clusters.with_clusters(images, labels, count)


def _encoder(images: ImageData, config: Experiment) -> keras.Model | None:
    """Returns the encoder of the settings, if it has trained weights."""
    settings = config.encoder
    if not settings.weights:
        return None
    with classifiers.precision(settings.precision):
        return encoders.encoder(
            settings.name,
            images.images.shape[1:],
            settings.width,
            settings.weights,
            settings.form,
        )


def _path(images: ImageData, count: int, config: Experiment) -> pathlib.Path:
    """Returns the file for clusters of these images with these settings."""
    settings, encoder = config.encoder, []
    if settings.weights:
        names = ("name", "width", "weights", "form", "precision")
        encoder = [getattr(settings, name) for name in names]
        if os.path.isfile(settings.weights):
            with open(settings.weights, "rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            encoder.append(digest.hexdigest())
    key = json.dumps([images.fingerprint(), count, encoder])
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return cache.root(config.data.cache) / _FOLDER / f"{name}.npz"


def _read(path: pathlib.Path, images: int, count: int) -> np.ndarray | None:
    """Returns the labels in a file; None if there is none that fits."""
    if not path.is_file():
        return None
    try:
        labels = archives.read_arrays(path, ["labels"])["labels"]
    except (*archives.DAMAGED, InputError):
        return None
    fits = labels.shape == (images,) and labels.dtype == np.int32
    return (
        labels if fits and 0 <= labels.min() <= labels.max() < count else None
    )


def _write(path: pathlib.Path, labels: np.ndarray) -> None:
    with folders.replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, labels=labels)


def _make_folder(path: pathlib.Path) -> None:
    """Makes the folder of a file, before anything is computed for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "The clusters cannot be kept; choose another folder by "
            f"`data.cache` or {cache.VARIABLE}. Received: {path.parent}"
        ) from error
