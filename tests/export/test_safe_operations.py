import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.data.framing import Appearance, Frame
from tf_transfer.errors import InputError
from tf_transfer.export import safe_operations


class Held(tf.saved_model.experimental.TrackableResource):
    """A resource whose making writes a file."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(
            key_dtype=tf.int64, value_dtype=tf.int64
        )

    def _initialize(self):
        tf.io.write_file(self.path, "x")


def saved(path, body, module=None):
    """Writes a SavedModel whose signature runs `body` on the images."""
    module = module or tf.Module()
    spec = tf.TensorSpec([None], tf.string, "image_bytes")
    module.serve = tf.function(body, input_signature=[spec])
    tf.saved_model.save(module, str(path), {"serve_bytes": module.serve})
    return path


def writes(path):
    def body(image_bytes):
        with tf.control_dependencies([tf.io.write_file(str(path), "x")]):
            return tf.identity(image_bytes)

    return body


def called(body):
    inner = tf.function(body)

    def outer(image_bytes):
        return tf.cond(
            tf.size(image_bytes) > 0,
            lambda: inner(image_bytes),
            lambda: image_bytes,
        )

    return outer


def mapped(body):
    def outer(image_bytes):
        dataset = tf.data.Dataset.from_tensors(image_bytes).map(body)
        return dataset.get_single_element()

    return outer


BODIES = {
    "WriteFile": writes,
    "ReadFile": lambda path: lambda x: tf.io.read_file("/etc/passwd") + x,
    "MatchingFiles": lambda path: lambda x: tf.io.matching_files("/*"),
    "EagerPyFunc": lambda path: (
        lambda x: tf.py_function(lambda a: a, [x], tf.string)
    ),
    "PrintV2": lambda path: (
        lambda x: (
            tf.print("x", output_stream=f"file://{path}"),
            x,
        )[1]
    ),
    "TextLineDataset": lambda path: (
        lambda x: (
            tf.data.TextLineDataset(x).take(1).batch(9).get_single_element()
        )
    ),
    "SaveV2": lambda path: (
        lambda x: (
            tf.raw_ops.SaveV2(
                prefix=str(path),
                tensor_names=["a"],
                shape_and_slices=[""],
                tensors=[x],
            ),
            x,
        )[1]
    ),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("within", [lambda body: body, called, mapped])
def test_what_touches_files_or_runs_python_is_refused(tmp_path, name, within):
    body = within(BODIES[name](tmp_path / "PWNED"))
    model = saved(tmp_path / "model", body)
    with pytest.raises(InputError, match=f"--trust.*Received: .*{name}"):
        safe_operations.check(model)


def test_what_loading_runs_is_looked_at_too(tmp_path):
    module = tf.Module()
    module.held = Held(str(tmp_path / "PWNED"))
    model = saved(tmp_path / "model", lambda x: x, module)
    with pytest.raises(InputError, match="WriteFile"):
        safe_operations.check(model)


def test_a_model_of_tensorflow_1_is_looked_at_whole(tmp_path):
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.string, [None])
        with tf.control_dependencies([tf.io.write_file("/tmp/x", "x")]):
            outputs = tf.identity(images)
        v1.saved_model.simple_save(
            session, str(tmp_path / "model"), {"a": images}, {"b": outputs}
        )
    with pytest.raises(InputError, match="WriteFile"):
        safe_operations.check(tmp_path / "model")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.slow
def test_own_exports_pass(tmp_path, channels):
    frame = Frame(8, channels, Appearance(4095.0, 0.0))
    model = tt.classifier(tt.small_encoder((8, 8, channels), width=4), 3)
    for preprocessing in (None, frame):
        version = tt.export_serving(
            model, tmp_path, ["a", "b", "c"], preprocessing
        )
        safe_operations.check(version)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",
        "EfficientNetB0",
        "ConvNeXtTiny",
        "DenseNet121",
        "ResNet50V2",
        "NASNetMobile",
        "Xception",
        "InceptionV3",
        "VGG16",
    ],
)
def test_the_encoders_of_keras_pass(tmp_path, name):
    encoder = tt.encoder(name, (96, 96, 3))
    version = tt.export_serving(tt.classifier(encoder, 2), tmp_path)
    safe_operations.check(version)


@pytest.mark.slow
def test_layers_that_are_ordinary_pass(tmp_path):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.RandomFlip(),
            layers.RandomRotation(0.1),
            layers.Resizing(16, 16),
            layers.Conv2D(4, 3, activation="gelu"),
            layers.BatchNormalization(),
            layers.SpatialDropout2D(0.1),
            layers.DepthwiseConv2D(3, activation="silu"),
            layers.UpSampling2D(),
            layers.LayerNormalization(),
            layers.Reshape((-1, 4)),
            layers.LSTM(4),
            layers.Dense(3),
        ]
    )
    version = tt.export_serving(model, tmp_path)
    safe_operations.check(version)
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    expected = tf.nn.softmax(model(images, training=False)).numpy()
    found = serve(tf.constant(images))["probabilities"].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_a_damaged_graph_is_refused_or_empty(tmp_path, content):
    (tmp_path / "saved_model.pb").write_bytes(content)
    if content:
        with pytest.raises(InputError, match="cannot be read"):
            safe_operations.check(tmp_path)
    else:
        safe_operations.check(tmp_path)  # it runs nothing


def test_every_known_operation_exists():
    names = dir(tf.raw_ops)
    unknown = safe_operations._KNOWN - set(names)
    assert not unknown - {"Const", "Placeholder"}, unknown
