"""A trained classifier for runtimes other than TensorFlow: LiteRT and ONNX.

The converted model takes raw images of any size, as the SavedModel does, and
returns their probabilities. Its own runtime checks it before it is kept.
"""

import contextlib
import importlib.util
import os
import pathlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer import export, models, signatures, versions
from tf_transfer.errors import InputError
from tf_transfer.signatures import Preprocessing, Served

_TOLERANCE = 1e-4
_OPSET = 18
_NEEDED = {
    "tflite": ("ai_edge_litert",),
    "onnx": ("onnxruntime", "tf2onnx"),
}
_CHECKED = ((1, 30, 40), (3, 128, 96))
Run = Callable[[np.ndarray], np.ndarray]


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

    With representative images it is quantised to 8 bit integers. The
    preprocessing would not survive that: it is then a model of its own,
    `preprocessing.tflite` from `images` to `prepared`, and `model.tflite`
    takes what that returns.

    Args:
        model: as for `export_serving`; one in mixed precision is converted
            in float32.
        path: the folder of the versions.
        class_names: one name per class; numbers if None.
        preprocessing: as for `export_serving`.
        provenance: as for `export_serving`.
        representative: some hundred images as the model takes them, `[N,
            height, width, channels]`, uint8 or floats in 0..1: the `images`
            of an `ImageData`.

    Returns:
        The folder of the new version. With the model are `class_names.json`
        and `provenance.json`, whose `check` tells how far LiteRT was from
        Keras.

    Raises:
        InputError: as `export_serving`; if LiteRT is not installed; if the
            model cannot be converted.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((4, 4, 1)), keras.layers.Flatten(),
    ...      keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     version = export_tflite(model, folder, ["cat", "dog"])
    ...     sorted(path.name for path in version.iterdir())
    ['class_names.json', 'model.tflite', 'provenance.json']
    """
    _require("tflite")
    served = export.serve(_float32(model), class_names, preprocessing)
    images = None
    if representative is not None:
        images = _representative(representative, served.model_shape)

    def write(folder: pathlib.Path) -> None:
        with _converting("LiteRT"):
            if images is None:
                parts = {"model": _to_tflite(served.probabilities)}
                found = _compare(_tflite_run(parts["model"]), served)
            else:
                parts = {"model": _to_tflite(served.from_prepared, images)}
                run = _tflite_run(parts["model"])
                found = _agreement(run, served, images)
                if preprocessing is not None:
                    parts["preprocessing"] = _to_tflite(served.prepared)
        for name, content in parts.items():
            (folder / f"{name}.tflite").write_bytes(content)
        check = {"check": {"runtime": "LiteRT"} | found}
        export.describe(folder, served, (provenance or {}) | check)

    return versions.publish(path, write)


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    *,
    provenance: dict[str, Any] | None = None,
) -> pathlib.Path:
    """Writes the next version `path/N/model.onnx`.

    Args, Returns, Raises: as `export_tflite`, with ONNX Runtime.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((4, 4, 1)), keras.layers.Flatten(),
    ...      keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     version = export_onnx(model, folder, ["cat", "dog"])
    ...     sorted(path.name for path in version.iterdir())
    ['class_names.json', 'model.onnx', 'provenance.json']
    """
    _require("onnx")
    served = export.serve(_float32(model), class_names, preprocessing)

    def write(folder: pathlib.Path) -> None:
        with _converting("ONNX Runtime"):
            content = _to_onnx(served)
            found = _compare(_onnx_run(content), served)
        (folder / "model.onnx").write_bytes(content)
        check = {"check": {"runtime": "ONNX Runtime"} | found}
        export.describe(folder, served, (provenance or {}) | check)

    return versions.publish(path, write)


def _require(extra: str) -> None:
    """Raises InputError if a package of an extra is not installed."""
    for name in _NEEDED[extra]:
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"This format needs the package {name}; run "
                f"`pip install 'tf_transfer[{extra}]'`. Received: {extra}"
            )


def _float32(model: keras.Model) -> keras.Model:
    """Returns a model without half precision, which runtimes lack."""
    layers = getattr(model, "layers", [])
    if all(layer.compute_dtype == "float32" for layer in layers):
        return model
    text = re.sub(r'"(mixed_)?b?float16"', '"float32"', model.to_json())
    with models.precision("float32"):  # of models in the model
        copy = keras.models.model_from_json(text)
    copy.set_weights(model.get_weights())
    return copy


def _representative(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns images as the model takes them, float32."""
    images = np.asarray(images)
    if images.shape[1:] != shape or not len(images):
        raise InputError(
            f"`representative` must hold images {shape}, as the model takes "
            f"them. Received: shape {images.shape}"
        )
    if images.dtype == np.uint8:
        return images / np.float32(255)
    return images.astype(np.float32)


@contextlib.contextmanager
def _converting(runtime: str) -> Iterator[None]:
    """Ignores the converters' own warnings; their errors are one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [repr(error)]
        raise InputError(
            f"The model cannot be converted for {runtime}. Received: {lines[0]}"
        ) from error


def _to_tflite(
    function: tf.types.experimental.GenericFunction,
    representative: np.ndarray | None = None,
) -> bytes:
    """Converts a function of `Served` with the names that it uses."""
    with tempfile.TemporaryDirectory() as folder:
        traced = function.get_concrete_function()
        signatures.save(folder, {"serving_default": traced})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if representative is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {"images": image[None]} for image in representative
            )
            kernels = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            converter.target_spec.supported_ops = [kernels]
        return converter.convert()


def _to_onnx(served: Served) -> bytes:
    import tf2onnx

    function = served.probabilities
    model, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=_OPSET
    )
    names = ("batch", "height", "width", "channels")
    sides = model.graph.input[0].type.tensor_type.shape.dim
    for side, name in zip(sides, names, strict=True):
        if not side.dim_value:
            side.dim_param = name
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return model.SerializeToString()


def _tflite_run(content: bytes) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=content).get_signature_runner()
    return lambda images: run(images=images)["probabilities"]


def _onnx_run(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        content, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"images": images})[0]


def _compare(run: Run, served: Served) -> dict[str, float]:
    """Returns the largest difference to Keras, on noise of two sizes.

    Raises:
        InputError: if it is no rounding error.
    """
    look = getattr(served.preprocessing, "appearance", None)
    largest = look.maximum if look else 1.0
    rng, found = np.random.default_rng(0), 0.0
    for batch, *sides in _CHECKED:
        asked = [batch, *sides, served.model_shape[-1]]
        shape = [a or b for a, b in zip(served.image_shape, asked, strict=True)]
        images = (largest * rng.random(shape)).astype(np.float32)
        expected = served.probabilities(images)["probabilities"].numpy()
        found = max(found, float(np.abs(run(images) - expected).max()))
    if not found < _TOLERANCE:
        raise InputError(
            "The converted model must predict as Keras does, to "
            f"{_TOLERANCE}. Received: a difference of {found:.2g}"
        )
    return {"largest_difference": found}


def _agreement(
    run: Run, served: Served, images: np.ndarray
) -> dict[str, float]:
    """Returns how a quantised model compares on its representative images."""
    expected = served.from_prepared(images)["probabilities"].numpy()
    found = run(images)
    same = found.argmax(axis=-1) == expected.argmax(axis=-1)
    return {
        "largest_difference": float(np.abs(found - expected).max()),
        "same_class": float(same.mean()),
    }
