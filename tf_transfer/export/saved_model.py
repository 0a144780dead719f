"""A trained classifier as a SavedModel that any server can load."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tf_transfer.data.framing import Frame
from tf_transfer.data.image_files import MAX_PIXELS
from tf_transfer.errors import InputError
from tf_transfer.export import signatures, versions, warmup
from tf_transfer.export.signatures import Preprocessing, Served
from tf_transfer.utils.environment import package_versions


def export_serving(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    *,
    top_k: int = 5,
    max_pixels: int = MAX_PIXELS,
    provenance: dict[str, Any] | None = None,
) -> pathlib.Path:
    """Writes a classifier as the next version of a served model.

    The layout is TensorFlow Serving's: `path/1`, `path/2`, ... A version is
    written beside and renamed, so that a server never sees half of it. Its
    folder `assets.extra` holds `class_names.json`, `provenance.json` and the
    requests with which a server warms up.

    Signatures, each for batches of any size:

    * `serving_default`: float32 `images` `[B, H, W, channels]`;
    * `serve_uint8`: uint8 `images`, where 255 is full brightness;
    * `serve_bytes`: `image_bytes` `[B]`, JPEG or PNG files of any sizes; a
      request with one that cannot be read fails, and names its position;
    * `features`: float32 `images`, to `features`, the encoder's output.

    The first three return `probabilities` `[B, C]` and, of the `top_k` most
    probable classes, best first, `class_ids`, `class_names` and
    `top_probabilities` `[B, top_k]`.

    Args:
        model: a built classifier from images in 0..1, that ends in logits or
            in a softmax. Of an `L2TL` model, its target classifier is taken.
        path: the folder of the versions.
        class_names: one name per class; numbers if None.
        preprocessing: TensorFlow operations that bring raw images of any size
            to what the model takes, such as the `frame` of an `ImageData`;
            `images` then hold pixels as that data stores them. It is given
            float32 by `serving_default` and uint8, of which 255 is full
            brightness, by `serve_uint8` and `serve_bytes`: tell them apart by
            `images.dtype`. If None, images come as the model takes them.
        top_k: how many classes are named.
        max_pixels: `serve_bytes` refuses an image with more before decoding.
        provenance: put into `provenance.json`, before framing and versions.

    Returns:
        The folder of the new version.

    Raises:
        InputError: if model, names or preprocessing do not fit, or the folder
            cannot be written. Nothing is left half-written.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((4, 4, 1)), keras.layers.Flatten(),
    ...      keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     version = export_serving(model, folder, ["cat", "dog"])
    ...     served = tf.saved_model.load(str(version))
    >>> found = served.signatures["serving_default"](tf.zeros([3, 4, 4, 1]))
    >>> found["probabilities"].shape
    TensorShape([3, 2])
    """
    served = serve(model, class_names, preprocessing, top_k, max_pixels)

    def write(folder: pathlib.Path) -> None:
        signatures.save(folder, served.signatures)
        extra = folder / "assets.extra"
        extra.mkdir()
        warmup.write(extra, served)
        describe(extra, served, provenance)

    return versions.publish(path, write)


def serve(
    model: keras.Model,
    class_names: Sequence[str] | None,
    preprocessing: Preprocessing | None,
    top_k: int = 5,
    max_pixels: int = MAX_PIXELS,
) -> Served:
    """Checks what is to be exported, and traces it.

    Args, errors: as `export_serving`.
    """
    if hasattr(model, "classifier"):  # trains more than it serves
        model = model.classifier()
    built = isinstance(model, keras.Model) and model.built
    inputs = getattr(model, "inputs", None) if built else None
    if not inputs or len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise InputError(
            "The model must be built, from layers, with one input of images "
            f"[B, height, width, channels]. Received: {model!r}"
        )
    for variable in model.trainable_variables:
        if not np.isfinite(np.asarray(variable, np.float32)).all():
            raise InputError(
                "The model's weights must be finite. "
                f"Received: {variable.path!r} with others"
            )
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or not shape[1]:
        raise InputError(
            f"The model must return logits [B, C]. Received: {shape}"
        )
    names = class_names
    if names is None:
        names = [str(number) for number in range(shape[1])]
    texts = all(isinstance(name, str) for name in names)
    if not texts or isinstance(names, str) or len(names) != shape[1]:
        raise InputError(
            f"`class_names` must be {shape[1]} strings. Received: {names!r}"
        )
    if preprocessing is not None and not callable(preprocessing):
        raise InputError(
            "`preprocessing` must be a function of a batch of images. "
            f"Received: {preprocessing!r}"
        )
    if not isinstance(top_k, int) or top_k < 1:
        raise InputError(f"`top_k` must be at least 1. Received: {top_k!r}")
    if not isinstance(max_pixels, int) or max_pixels < 1:
        raise InputError(
            f"`max_pixels` must be at least 1. Received: {max_pixels!r}"
        )
    return Served(model, names, preprocessing, top_k, max_pixels)


def describe(
    folder: pathlib.Path, served: Served, provenance: dict[str, Any] | None
) -> None:
    """Writes `class_names.json` and `provenance.json`."""
    framing = served.preprocessing
    known = isinstance(framing, Frame)
    contents = {
        "class_names": served.class_names,
        "provenance": {
            **(provenance or {}),
            "framing": dataclasses.asdict(framing) if known else None,
            "versions": package_versions(),
        },
    }
    for name, content in contents.items():
        text = json.dumps(content, indent=1) + "\n"
        (folder / f"{name}.json").write_text(text)
