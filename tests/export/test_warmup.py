import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import tf_transfer as tt
from tests import helpers


@pytest.mark.slow
def test_requests_are_read_and_replayed(tmp_path):
    """With the protocol's own classes, on the model's own signatures."""
    frame = tt.Frame(8, 1, tt.Appearance(255.0))
    model = helpers.tiny_classifier()
    for preprocessing in (None, frame):
        folder = tt.export_serving(model, tmp_path, preprocessing=preprocessing)
        signatures = tf.saved_model.load(str(folder)).signatures
        path = folder / "assets.extra" / "tf_serving_warmup_requests"
        replayed = []
        for record in tf.data.TFRecordDataset(str(path)):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            name = request.model_spec.signature_name
            inputs = {
                key: tf.constant(tf.make_ndarray(value))
                for key, value in request.inputs.items()
            }
            (batch,) = {len(value) for value in inputs.values()}
            for output in signatures[name](**inputs).values():
                assert len(output) == batch
                assert output.dtype == tf.string or np.isfinite(output).all()
            replayed.append((name, batch))
        assert sorted(replayed) == [
            (name, batch)
            for name in (
                "features",
                "serve_bytes",
                "serve_uint8",
                "serving_default",
            )
            for batch in (1, 8)
        ]
