"""Exports a classifier for LiteRT (TensorFlow Lite)."""

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.export import conversion, saved_model, signatures, versions
from tf_transfer.export.conversion import Run
from tf_transfer.export.signatures import Preprocessing, ServedModel


def export_tflite(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    *,
    representative: np.ndarray | None = None,
    provenance: dict[str, Any] | None = None,
) -> pathlib.Path:
    """Writes the next version `path/N/model.tflite`, for LiteRT.

    Given representative images, the model is quantised to 8-bit integers.
    Quantised preprocessing would be too inaccurate, so it is then written as
    a separate float model, `preprocessing.tflite` from `images` to
    `prepared`, and `model.tflite` takes `prepared` as its `images`.

    Args:
        model: as for `export_serving`; one in mixed precision is converted
            in float32.
        path: the folder of the versions.
        class_names: one name per class; numbers if None.
        preprocessing: as for `export_serving`.
        provenance: as for `export_serving`.
        representative: a few hundred images as the model takes them, `[N,
            height, width, channels]`, uint8 or floats in 0..1, such as the
            `images` of an `ImageData`.

    Returns:
        The folder of the new version. It also holds `class_names.json` and
        `provenance.json`, whose `check` says how far LiteRT is from Keras.

    Raises:
        InputError: as `export_serving`; if LiteRT is not installed; if the
            model cannot be converted, or the result predicts differently.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((4, 4, 1)), keras.layers.Flatten(),
    ...      keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     version = export_tflite(model, folder, ["cat", "dog"])
    ...     sorted(path.name for path in version.iterdir())
    ['class_names.json', 'model.tflite', 'provenance.json']
    """
    conversion.require("tflite")
    model = conversion.in_float32(model)
    served = saved_model.serve(model, class_names, preprocessing)
    images = None
    if representative is not None:
        images = _representative(representative, served)

    def write(folder: pathlib.Path) -> None:
        with conversion.converting("LiteRT"):
            if images is None:
                parts = {"model": _to_tflite(served, served.probabilities)}
                run = _load(parts["model"])
                differences = conversion.compare(run, served)
            else:
                parts = {
                    "model": _to_tflite(served, served.from_prepared, images)
                }
                run = _load(parts["model"])
                differences = _compare_quantised(run, served, images)
                if preprocessing is not None:
                    parts["preprocessing"] = _to_tflite(served, served.prepared)
        for name, content in parts.items():
            (folder / f"{name}.tflite").write_bytes(content)
        check = {"check": {"runtime": "LiteRT"} | differences}
        saved_model.write_metadata(folder, served, (provenance or {}) | check)

    return versions.publish(path, write)


def _to_tflite(
    served: ServedModel,
    function: tf.types.experimental.GenericFunction,
    representative: np.ndarray | None = None,
) -> bytes:
    """Converts a function of `ServedModel`, and keeps its inputs' names."""
    with tempfile.TemporaryDirectory() as folder:
        traced = function.get_concrete_function()
        functions = {"serving_default": traced}
        signatures.save(folder, functions, served.tables)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if representative is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {"images": image[None]} for image in representative
            )
            kernels = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            converter.target_spec.supported_ops = [kernels]
        return converter.convert()


def _load(content: bytes) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=content).get_signature_runner()
    return lambda images: run(images=images)["probabilities"]


def _representative(images: np.ndarray, served: ServedModel) -> np.ndarray:
    """Checks the representative images and returns them as float32."""
    images, shape = np.asarray(images), served.model_shape
    if images.shape[1:] != shape or not len(images):
        raise InputError(
            f"`representative` must hold images {shape}, as the model takes "
            f"them. Received: shape {images.shape}"
        )
    if images.dtype == np.uint8:
        return images / np.float32(served.white)
    return images.astype(np.float32)


def _compare_quantised(
    run: Run, served: ServedModel, images: np.ndarray
) -> dict[str, float]:
    """Compares a quantised model with Keras on its representative images."""
    expected = served.from_prepared(images)["probabilities"].numpy()
    outputs = run(images)
    same = outputs.argmax(axis=-1) == expected.argmax(axis=-1)
    return {
        "largest_difference": float(np.abs(outputs - expected).max()),
        "same_class": float(same.mean()),
    }
