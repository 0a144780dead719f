import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.errors import InputError
from tf_transfer.models import classifiers, endings

layers = keras.layers
IMAGES = np.random.default_rng(0).random((5, 8, 8, 1)).astype(np.float32)


def dense(**options):
    kernel = keras.initializers.RandomNormal(stddev=1.0, seed=1)
    return layers.Dense(3, kernel_initializer=kernel, **options)


def model(end):
    inputs = keras.Input((8, 8, 1))
    features = layers.Dense(6, activation="relu")(layers.Flatten()(inputs))
    return keras.Model(inputs, end(features))


SOFTMAX = {
    "activation": lambda x: dense(activation="softmax")(x),
    "layer": lambda x: layers.Softmax()(dense()(x)),
    "ops": lambda x: keras.ops.softmax(dense()(x)),
    "tf": lambda x: dense(activation=tf.nn.softmax)(x),
    "lambda": lambda x: layers.Lambda(tf.nn.softmax)(dense()(x)),
    "average": lambda x: layers.Average()(
        [SOFTMAX["tf"](x), SOFTMAX["ops"](x)]
    ),
}
LOGITS = {
    "dense": lambda x: dense()(x),
    "times": lambda x: dense()(x) * 5.0,
    "log softmax": lambda x: layers.Activation("log_softmax")(dense()(x)),
    "relu": lambda x: dense(activation="relu")(x),
}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("end", [*SOFTMAX, *LOGITS])
def test_probabilities_are_known_however_they_are_written(end, nested):
    classifier = model((SOFTMAX | LOGITS)[end])
    if nested:
        scale = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(2)])
        classifier = keras.Sequential([scale, classifier])
    assert endings.returns_probabilities(classifier) == (end in SOFTMAX)


@pytest.mark.parametrize(
    "end",
    [
        lambda x: dense(activation="sigmoid")(x),
        lambda x: keras.ops.sigmoid(dense()(x)),
        lambda x: layers.Lambda(tf.nn.sigmoid)(dense()(x)),
    ],
)
def test_a_sigmoid_is_refused(end):
    with pytest.raises(InputError, match="must return logits, or prob"):
        endings.returns_probabilities(model(end))


def nested():
    flip = keras.Sequential([keras.Input((8, 8, 1)), layers.RandomFlip()])
    return keras.Sequential([keras.Input((8, 8, 1)), flip, model(dense())])


def functional_nested():
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, model(dense())(layers.Rescaling(3.0)(inputs)))


def shared():
    """Its head is also that of another model, which was built before."""
    head = dense()
    model(head)
    return model(head)


@pytest.mark.parametrize("make", [nested, functional_nested, shared])
def test_a_nested_or_shared_head_is_replaced(make):
    source = make()
    expected = source(IMAGES, training=False)
    target = tt.replace_head(source, 3, np.eye(3))
    outputs = target(IMAGES, training=False)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    encoder, head = endings.split(source)
    features = encoder(IMAGES, training=False)
    np.testing.assert_allclose(head(features), expected, atol=1e-5)
    assert features.shape == (5, 6)


def test_what_follows_the_head_is_not_dropped():
    with pytest.raises(InputError, match="remove this one"):
        tt.replace_head(model(LOGITS["times"]), 2)


def test_a_nested_classifier_is_loaded_without_its_softmax(tmp_path):
    inputs = keras.Input((8, 8, 1))
    inner = model(SOFTMAX["activation"])
    outer = keras.Model(inputs, inner(layers.Rescaling(3.0)(inputs)))
    outer.save(tmp_path / "model.keras")
    path = str(tmp_path / "model.keras")
    loaded = classifiers.load_classifier(path, (8, 8, 1), 3)
    np.testing.assert_allclose(
        keras.ops.softmax(loaded(IMAGES)), outer(IMAGES), atol=1e-5
    )


@pytest.mark.parametrize(
    ("first", "takes"),
    [
        (lambda x: layers.Rescaling(1 / 255)(x), True),
        (lambda x: x / 255.0, True),
        (lambda x: layers.Rescaling(1 / 127.5, -1)(x), True),
        (lambda x: layers.Rescaling(2.0, -1)(x), False),
        (lambda x: layers.Rescaling(255.0)(x), False),
        (lambda x: layers.Conv2D(2, 3)(x), False),
    ],
)
def test_models_of_bytes_are_known(first, takes):
    inputs = keras.Input((8, 8, 1))
    inner = keras.Model(inputs, layers.Flatten()(first(inputs)))
    assert endings.takes_bytes(inner) == takes
    outer = keras.Sequential([keras.Input((8, 8, 1)), inner, dense()])
    assert endings.takes_bytes(outer) == takes
    scaled = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Rescaling(255.0), inner, dense()]
    )
    assert not endings.takes_bytes(scaled)


def inverse(x):
    return 1 / (1 + keras.ops.exp(-x))


@pytest.mark.parametrize(
    "end",
    [
        lambda x: dense(activation=inverse)(x),
        lambda x: dense(activation="hard_sigmoid")(x),
        lambda x: SOFTMAX["activation"](x) * 2,
        lambda x: keras.ops.sqrt(SOFTMAX["activation"](x)),
        lambda x: layers.Softmax(axis=0)(dense()(x)),
    ],
)
def test_other_shares_are_refused(end):
    with pytest.raises(InputError, match="must return logits, or prob"):
        endings.returns_probabilities(model(end))


@pytest.mark.parametrize(
    ("end", "probabilities"),
    [
        (lambda x: layers.Softmax()(zeros([0.0, 0.0])(x)), True),
        (lambda x: zeros([0.0, 0.0])(x), False),
        (lambda x: zeros([0.9, 0.1])(x), False),
        (lambda x: dense()(keras.ops.log(x - 1e6)), False),
        (lambda x: SOFTMAX["activation"](keras.ops.log(x - 1e6)), True),
        (lambda x: dense(activation="softplus")(x), False),
        (lambda x: dense(activation=tf.nn.relu)(x / 1e3), False),
        (lambda x: layers.Dense(999, "softmax", dtype="bfloat16")(x), True),
        (lambda x: layers.Softmax(axis=1)(dense()(x)), True),
        (lambda x: keras.ops.clip(SOFTMAX["tf"](x), 1e-7, 1), True),
        (lambda x: [SOFTMAX["ops"](x)], True),
    ],
)
def test_constant_undefined_and_small_outputs(end, probabilities):
    assert endings.returns_probabilities(model(end)) == probabilities


def zeros(bias):
    bias = keras.initializers.Constant(bias)
    return layers.Dense(2, kernel_initializer="zeros", bias_initializer=bias)


def normalisation(kind, scale):
    """A layer whose statistics are those of images in 0..scale."""
    layer = kind()
    layer.build((None, 8, 8, 1))
    if kind is layers.Normalization:
        layer.adapt(IMAGES * scale)
    else:
        layer.moving_variance.assign([scale**2 / 12])
    return layer


def frozen():
    small = keras.initializers.Constant(0.003)
    layer = layers.Conv2D(1, 1, kernel_initializer=small)
    layer.trainable = False
    return layer


def already_called():
    layer = layers.Rescaling(1 / 255)
    layer(keras.Input((8, 8, 1)))
    return layer


CAFFE = keras.applications.vgg16.preprocess_input


@pytest.mark.parametrize(
    ("first", "takes"),
    [
        (lambda: normalisation(layers.Normalization, 255), True),
        (lambda: normalisation(layers.Normalization, 1), False),
        (lambda: normalisation(layers.BatchNormalization, 255), True),
        (lambda: normalisation(layers.BatchNormalization, 1), False),
        (lambda: layers.BatchNormalization(), False),
        (lambda: layers.Lambda(lambda x: x / 255.0), True),
        (lambda: lambda x: CAFFE(layers.Concatenate()([x, x, x])), True),
        (lambda: lambda x: x - 0.5, False),
        (lambda: lambda x: keras.ops.clip(x, 0, 1), False),
        (lambda: layers.Discretization(bin_boundaries=[0.2, 0.7]), False),
        (frozen, False),
        (already_called, True),
        (lambda: lambda x: already_called()(layers.Resizing(6, 6)(x)), True),
    ],
)
def test_first_layers_tell_the_range_of_images(first, takes):
    inputs = keras.Input((8, 8, 1))
    values = keras.ops.cast(first()(inputs), "float32")
    inner = keras.Model(inputs, dense()(layers.Flatten()(values)))
    assert endings.takes_bytes(inner) == takes
    flips = keras.Sequential([keras.Input((8, 8, 1)), layers.RandomFlip()])
    outer = keras.Sequential([keras.Input((8, 8, 1)), flips, inner])
    assert endings.takes_bytes(outer) == takes
    inputs = keras.Input((8, 8, 1))
    outer = keras.Model(inputs, inner(layers.RandomContrast(0.1)(inputs)))
    assert endings.takes_bytes(outer) == takes


@pytest.mark.parametrize(
    ("name", "takes"), [("MobileNetV3Small", True), ("MobileNetV2", False)]
)
def test_known_backbones_of_any_side(name, takes):
    build = getattr(keras.applications, name)
    options = {"alpha": 0.35} if name == "MobileNetV2" else {"alpha": 0.75}
    body = build(
        (None, None, 3),
        include_top=False,
        weights=None,
        pooling="avg",
        **options,
    )
    assert endings.takes_bytes(body) == takes
