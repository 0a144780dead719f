"""Exports a classifier as a SavedModel that any server can load."""

import dataclasses
import inspect
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tf_transfer.data.framing import Frame
from tf_transfer.data.raw.image_files import MAX_PIXELS
from tf_transfer.errors import InputError
from tf_transfer.export import signatures, verification, versions, warmup
from tf_transfer.export.signatures import Preprocessing, ServedModel
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
    written under a temporary name and then renamed, so that a server never
    loads an incomplete one. Its folder `assets.extra` holds
    `class_names.json`, `provenance.json` and the warm-up requests of the
    server.

    The signatures, each for batches of any size, are:

    * `serving_default`: float32 `images` `[B, H, W, channels]`;
    * `serve_uint8`: uint8 `images`, where 255 is full brightness;
    * `serve_bytes`: `image_bytes` `[B]`, JPEG or PNG files of any sizes; if
      one cannot be read, the request fails with its position;
    * `features`: float32 `images`; it returns `features`, the output of the
      encoder; it is left out if no single layer makes the outputs.

    The first three return `probabilities` `[B, C]` and, for the `top_k` most
    probable classes, best first, `class_ids`, `class_names` and
    `top_probabilities` `[B, top_k]`.

    Args:
        model: a built classifier of images in 0..1 that returns logits or
            probabilities that sum to 1. One that first scales images of
            0..255 by 1/255 or so, or subtracts their mean, takes these. Of an
            `L2TL` model, the target classifier is exported.
        path: the folder of the versions.
        class_names: one name per class; numbers if None.
        preprocessing: a function of TensorFlow operations that turns raw
            images of any size into the model's input, such as the `frame` of
            an `ImageData`; `images` then hold pixels as that data stores
            them. It receives float32 from `serving_default`, and uint8 with
            255 as full brightness from `serve_uint8` and `serve_bytes`; check
            `images.dtype`. If None, images must be as the model takes them.
        top_k: the number of classes that are named.
        max_pixels: `serve_bytes` refuses an image with more pixels than this
            before it decodes it.
        provenance: entries of `provenance.json`, before framing and versions.

    Returns:
        The folder of the new version.

    Raises:
        InputError: if the model, names or preprocessing do not fit together,
            or the folder cannot be written; if the saved signatures do not
            compute what the model does. No partial version is left.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((4, 4, 1)), keras.layers.Flatten(),
    ...      keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     version = export_serving(model, folder, ["cat", "dog"])
    ...     served = tf.saved_model.load(str(version))
    >>> outputs = served.signatures["serving_default"](tf.zeros([3, 4, 4, 1]))
    >>> outputs["probabilities"].shape
    TensorShape([3, 2])
    """
    served = serve(model, class_names, preprocessing, top_k, max_pixels)

    def write(folder: pathlib.Path) -> None:
        signatures.save(folder, served.signatures, served.tables)
        verification.check_saved(folder, served)
        extra = folder / "assets.extra"
        extra.mkdir()
        warmup.write(extra, served)
        write_metadata(extra, served, provenance)

    return versions.publish(path, write)


def serve(
    model: keras.Model,
    class_names: Sequence[str] | None,
    preprocessing: Preprocessing | None,
    top_k: int = 5,
    max_pixels: int = MAX_PIXELS,
) -> ServedModel:
    """Checks the arguments of an export and returns what is to be written.

    Args, errors: as `export_serving`.
    """
    model = _servable(model)
    _check_model(model)
    num_classes = model.output_shape[1]
    names = class_names
    if names is None:
        names = [str(number) for number in range(num_classes)]
    strings = all(isinstance(name, str) for name in names)
    if not strings or isinstance(names, str) or len(names) != num_classes:
        raise InputError(
            f"`class_names` must be {num_classes} strings. Received: {names!r}"
        )
    # Strings of TensorFlow are UTF-8, which has no halves of characters.
    names = [name.encode(errors="backslashreplace").decode() for name in names]
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
    return ServedModel(model, names, preprocessing, top_k, max_pixels)


def _servable(model: keras.Model) -> keras.Model:
    """Returns the classifier to serve: the model, or what it trains.

    A model that trains more than it serves, such as `L2TL`, has a method
    `classifier()`. A functional model is served itself, and an attribute of
    that name may be anything, such as a layer: only a method without
    arguments is called.
    """
    method = getattr(model, "classifier", None)
    if getattr(model, "inputs", None) or not inspect.ismethod(method):
        return model
    return model if inspect.signature(method).parameters else method()


def _check_model(model: keras.Model) -> None:
    """Raises InputError unless a model is built, finite and a classifier."""
    built = isinstance(model, keras.Model) and model.built
    inputs = getattr(model, "inputs", None) if built else None
    if not inputs or len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise InputError(
            "The model must be functional or Sequential, and built, with one "
            "input of images [B, height, width, channels]. "
            f"Received: {model!r}"
        )
    for variable in model.trainable_variables:
        if not np.isfinite(np.asarray(variable, np.float32)).all():
            raise InputError(
                "The model's weights must be finite. "
                f"Received: {variable.path!r} with NaN or infinity"
            )
    shape = model.output_shape
    if not isinstance(model, keras.Sequential):
        shape = model.output if isinstance(model.output, dict) else shape
    if not isinstance(shape, tuple) or len(shape) != 2 or not shape[1]:
        raise InputError(
            f"The model must return logits [B, C]. Received: {shape}"
        )


def write_metadata(
    folder: pathlib.Path,
    served: ServedModel,
    provenance: dict[str, Any] | None,
) -> None:
    """Writes `class_names.json` and `provenance.json`."""
    frame = served.preprocessing
    framing = dataclasses.asdict(frame) if isinstance(frame, Frame) else None
    contents = {
        "class_names": served.class_names,
        "provenance": {
            **(provenance or {}),
            "framing": framing,
            "versions": package_versions(),
        },
    }
    for name, content in contents.items():
        text = json.dumps(content, indent=1) + "\n"
        (folder / f"{name}.json").write_text(text)
