"""A trained classifier for ONNX Runtime."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from tf_transfer.export import saved_model, versions
from tf_transfer.export.conversion import (
    Run,
    _compare,
    _converting,
    _float32,
    _require,
)
from tf_transfer.export.signatures import Preprocessing, Served


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
    served = saved_model.serve(_float32(model), class_names, preprocessing)

    def write(folder: pathlib.Path) -> None:
        with _converting("ONNX Runtime"):
            content = _to_onnx(served)
            found = _compare(_onnx_run(content), served)
        (folder / "model.onnx").write_bytes(content)
        check = {"check": {"runtime": "ONNX Runtime"} | found}
        saved_model.describe(folder, served, (provenance or {}) | check)

    return versions.publish(path, write)


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


def _onnx_run(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        content, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"images": images})[0]


_OPSET = 18
