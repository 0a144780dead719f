"""Exports a classifier for ONNX Runtime."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from tf_transfer.errors import InputError
from tf_transfer.export import conversion, saved_model, versions
from tf_transfer.export.conversion import Run
from tf_transfer.export.signatures import Preprocessing, ServedModel

_OPSET = 18


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    *,
    provenance: dict[str, Any] | None = None,
) -> pathlib.Path:
    """Writes the next version `path/N/model.onnx`, for ONNX Runtime.

    Args, Returns, Raises: as `export_tflite`.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((4, 4, 1)), keras.layers.Flatten(),
    ...      keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     version = export_onnx(model, folder, ["cat", "dog"])
    ...     sorted(path.name for path in version.iterdir())
    ['class_names.json', 'model.onnx', 'provenance.json']
    """
    conversion.require("onnx")
    model = conversion.in_float32(model)
    served = saved_model.serve(model, class_names, preprocessing)

    def write(folder: pathlib.Path) -> None:
        with conversion.converting("ONNX Runtime"):
            content = _to_onnx(served)
            differences = conversion.compare(_load(content), served)
        (folder / "model.onnx").write_bytes(content)
        check = {"check": {"runtime": "ONNX Runtime"} | differences}
        saved_model.write_metadata(folder, served, (provenance or {}) | check)

    return versions.publish(path, write)


def _to_onnx(served: ServedModel) -> bytes:
    import tf2onnx

    function = served.probabilities
    signature = function.input_signature
    model, _ = tf2onnx.convert.from_function(
        function, input_signature=signature, opset=_OPSET
    )
    _check_operations(model)
    _keep_constants(model, function.get_concrete_function(*signature))
    names = ("batch", "height", "width", "channels")
    sides = model.graph.input[0].type.tensor_type.shape.dim
    for side, name in zip(sides, names, strict=True):
        if not side.dim_value:
            side.dim_param = name
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return model.SerializeToString()


def _keep_constants(model: Any, traced: Any) -> None:
    """Turns inputs that stand for constants of the function into constants.

    Such are the statistics of a `Normalization` layer, which tf2onnx makes
    inputs of the model.
    """
    from onnx import numpy_helper

    constants = zip(
        reversed(traced.inputs), reversed(traced.captured_inputs), strict=False
    )
    values = {tensor.name: value for tensor, value in constants}
    used = {name for node in model.graph.node for name in node.input}
    for entry in [x for x in model.graph.input if x.name in values]:
        model.graph.input.remove(entry)
        if entry.name in used:
            value = values[entry.name].numpy()
            value = numpy_helper.from_array(value, entry.name)
            model.graph.initializer.append(value)


def _check_operations(model: Any) -> None:
    """Raises InputError if a model has operations that ONNX does not know."""
    import onnx

    kinds = {(node.op_type, node.domain) for node in model.graph.node}
    unknown = sorted(
        kind for kind, domain in kinds if not onnx.defs.has(kind, domain)
    )
    if unknown:
        raise InputError(
            "The model cannot be converted for ONNX Runtime, as ONNX lacks "
            f"some of its operations. Received: {', '.join(unknown)}"
        )


def _load(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        content, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"images": images})[0]
