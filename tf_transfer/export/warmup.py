"""Warm-up requests, which TensorFlow Serving runs before those of clients."""

import pathlib

import numpy as np
import tensorflow as tf

from tf_transfer.export.signatures import ServedModel

_BATCHES = (1, 8)
_SIDE = 64


def write(folder: pathlib.Path, served: ServedModel) -> pathlib.Path:
    """Writes `tf_serving_warmup_requests`, records of `PredictionLog`.

    There is one blank request for each signature and batch size.

    Args:
        folder: the `assets.extra` of a version.
        served: the model.
    """
    # Imported here, because this generated module is slow to load.
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


def _blank(served: ServedModel, dtype: tf.DType, batch: int):
    """Returns black images of the model's size, or PNG files of them."""
    shape = [side or _SIDE for side in served.model_shape]
    if dtype == tf.string:
        image = tf.io.encode_png(np.zeros(shape, np.uint8)).numpy()
        return tf.make_tensor_proto([image] * batch)
    # One value for all pixels keeps the file small.
    return tf.make_tensor_proto(0, dtype, [batch, *shape])
