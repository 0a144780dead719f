"""Requests that TensorFlow Serving sends a new version before clients do."""

import pathlib

import numpy as np
import tensorflow as tf

from tf_transfer.export.signatures import Served

_BATCHES = (1, 8)
_SIDE = 64


def write(folder: pathlib.Path, served: Served) -> pathlib.Path:
    """Writes `tf_serving_warmup_requests`: records of PredictionLog.

    One blank request per signature and batch size.

    Args:
        folder: the `assets.extra` of a version.
        served: the model.
    """
    # A module of generated code that takes a while to load.
    from tensorflow_serving.apis import prediction_log_pb2

    path = folder / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(path)) as records:
        for name, function in served.signatures.items():
            (spec,) = function.structured_input_signature[0]
            for batch in _BATCHES:
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.signature_name = name
                blank = _blank(served, spec.dtype, batch)
                request.inputs[spec.name].CopyFrom(blank)
                records.write(log.SerializeToString())
    return path


def _blank(served: Served, dtype: tf.DType, batch: int):
    """Returns black images of the size that the model takes, or their PNG."""
    shape = [side or _SIDE for side in served.model_shape]
    if dtype == tf.string:
        image = tf.io.encode_png(np.zeros(shape, np.uint8)).numpy()
        return tf.make_tensor_proto([image] * batch)
    # One number and a shape: the file stays small.
    return tf.make_tensor_proto(0, dtype, [batch, *shape])
