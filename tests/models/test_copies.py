import keras
import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.models import classifiers, copies

IMAGES = (
    np.random.default_rng(1).random((16, 8, 8, 1)).astype(np.float32) * 3 + 5
)


class Scaled(keras.layers.Layer):
    """A layer with a `Normalization` of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Normalization(axis=-1)

    def call(self, inputs):
        return self.inner(inputs)


class Captured(keras.layers.Layer):
    """A layer with a constant that is not in its configuration."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor

    def get_config(self):
        return super().get_config()


class Stored(Captured):
    """A layer that saves such a constant itself."""

    def save_own_variables(self, store):
        store["factor"] = np.float32(self.factor)

    def load_own_variables(self, store):
        self.factor = np.asarray(store["factor"])


class Pair(keras.layers.Layer):
    """A layer of two others, one of which is frozen."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = {"a": [keras.layers.Dense(3)], "b": keras.layers.Dense(3)}

    def build(self, shape):
        for part in (self.parts["a"][0], self.parts["b"]):
            part.build(shape)
            shape = part.compute_output_shape(shape)
        super().build(shape)

    def call(self, inputs):
        return self.parts["b"](self.parts["a"][0](inputs))


def encoder(kind, adapted=True):
    layer = {
        "plain": lambda: keras.layers.Normalization(axis=-1),
        "inside": Scaled,
        "bins": lambda: keras.layers.Discretization(num_bins=4),
        "table": lambda: keras.layers.IntegerLookup(),
    }[kind]()
    if adapted:
        inner = getattr(layer, "inner", layer)
        inner.adapt(IMAGES.astype(np.int64) if kind == "table" else IMAGES)
    inputs = keras.Input((8, 8, 1))
    values = inputs
    if kind == "table":
        values = keras.ops.cast(inputs, "int64")
    values = keras.ops.cast(layer(values), "float32")
    values = keras.layers.Flatten()(values)
    features = keras.layers.Dense(5)(values)
    return keras.Model(inputs, features, name="encoder")


@pytest.mark.parametrize("kind", ["plain", "inside", "bins", "table"])
def test_a_replaced_head_keeps_what_the_encoder_computes(kind, tmp_path):
    body = encoder(kind)
    source = tt.classifier(body, 4)
    relation = np.eye(4, dtype=np.float32)[:3]
    target = tt.replace_head(source, 3, relation)
    expected = np.array(source(IMAGES))[:, :3]
    np.testing.assert_allclose(target(IMAGES), expected, atol=1e-5)
    if kind != "inside":
        target.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(again(IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "inside"])
def test_a_warm_start_takes_the_statistics(kind):
    body = encoder(kind)
    learner = tt.L2TL(encoder(kind, adapted=False), 4, 3)
    learner.warm_start(tt.classifier(body, 4))
    np.testing.assert_allclose(learner.encoder(IMAGES), body(IMAGES), atol=1e-5)


def test_a_copy_that_computes_something_else_is_refused():
    inputs = keras.Input((8, 8, 1))
    features = keras.layers.Flatten()(Captured(3.0)(inputs))
    source = tt.classifier(keras.Model(inputs, features), 4)
    with pytest.raises(InputError, match="compute what the original does"):
        tt.replace_head(source, 3)


def test_statistics_reach_a_model_with_weights_of_its_own():
    model, other = encoder("plain"), encoder("plain", adapted=False)
    kernel = other.layers[-1].get_weights()[0]
    copies.copy_state(model, other)
    np.testing.assert_array_equal(other.layers[-1].get_weights()[0], kernel)
    np.testing.assert_allclose(
        classifiers.encoder_of(tt.classifier(other, 2)).layers[1](IMAGES),
        (IMAGES - IMAGES.mean()) / IMAGES.std(),
        atol=1e-4,
    )


def test_noise_is_of_the_shape_of_the_input():
    assert copies.noise_for(helpers.tiny_classifier()).shape == (4, 8, 8, 1)
    assert copies.noise_for(keras.Sequential([keras.layers.Dense(2)])) is None


def plain(layer, nested=False):
    """An encoder of a layer, a convolution and two shared layers."""
    inputs = keras.Input((8, 8, 1))
    first = layer
    if nested:
        first = keras.Sequential([keras.Input((8, 8, 1)), layer])
    values = keras.layers.Conv2D(1, 3, padding="same")(first(inputs))
    if nested:
        values = layer(values)  # shared by the model and the one inside it
    features = keras.layers.Dense(5)(keras.layers.Flatten()(values))
    return keras.Model(inputs, features, name="encoder")


def stored():
    layer = Stored()
    layer.factor = np.float32(3.0)
    return layer


def adapted():
    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(IMAGES)
    return layer


def halved(values):
    return values / 2.0


FACTORS = np.arange(64, dtype=np.float32).reshape(8, 8, 1) / 64


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        stored,
        adapted,
        Captured,
        lambda: keras.layers.Lambda(lambda x: keras.ops.multiply(x, FACTORS)),
        lambda: keras.layers.Lambda(halved),
        lambda: keras.layers.Lambda(lambda x: x, output_shape=lambda s: s),
    ],
    ids=["stored", "adapted", "unregistered", "lambda", "function", "shaped"],
)
def test_layers_that_keras_does_not_copy_by_itself(layer, nested):
    source = tt.classifier(plain(layer(), nested), 4)
    expected = np.array(source(IMAGES))
    target = tt.replace_head(source, 4, np.eye(4))
    np.testing.assert_allclose(target(IMAGES), expected, atol=1e-5)
    fresh = copies.fresh_copy_of(source)
    fresh.set_weights(source.get_weights())
    np.testing.assert_allclose(fresh(IMAGES), expected, atol=1e-5)


def test_a_layer_inside_a_layer_stays_frozen():
    body = plain(Pair())
    body.layers[1].parts["a"][0].trainable = False
    body.layers[-1].bias.trainable = False
    copy = copies.copy_of(body)
    frozen = [not weight.trainable for weight in copy.weights]
    assert frozen == [True] * 2 + [False] * 5 + [True]
    assert len(copy.trainable_variables) == 5


def test_what_keras_cannot_copy_is_refused():
    inner = keras.layers.Lambda(lambda x: 2 * x)
    body = plain(keras.layers.TimeDistributed(inner))
    with pytest.raises(InputError, match=r"clone_model. can copy.*Lambda"):
        tt.replace_head(tt.classifier(body, 4), 3)


def test_a_model_that_takes_small_numbers_only():
    inputs = keras.Input((8, 8, 1))
    values = keras.layers.Embedding(10, 2)(keras.ops.cast(inputs, "int32"))
    body = keras.Model(inputs, keras.layers.Flatten()(values))
    source = tt.classifier(body, 4)
    target = tt.replace_head(source, 4, np.eye(4))
    np.testing.assert_allclose(target(IMAGES), source(IMAGES), atol=1e-5)


def test_a_fresh_copy_has_weights_of_its_own_and_the_statistics():
    body = plain(adapted())
    keras.utils.set_random_seed(1)
    expected = keras.models.clone_model(body).get_weights()
    keras.utils.set_random_seed(1)
    fresh = copies.fresh_copy_of(body)
    for own, value in zip(fresh.get_weights()[3:], expected[3:], strict=True):
        np.testing.assert_array_equal(own, value)
    np.testing.assert_allclose(fresh.layers[1].adapt_mean, IMAGES.mean(), 1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_half_precision_may_start_from_full_precision(policy):
    body = plain(adapted())
    with classifiers.precision(policy):
        half = plain(keras.layers.Normalization(axis=-1))
    learner = tt.L2TL(half, 4, 3)
    learner.warm_start(tt.classifier(body, 4))
    expected = np.array(body(IMAGES))
    np.testing.assert_allclose(learner.encoder(IMAGES), expected, atol=0.2)
    other = tt.L2TL(plain(Captured(5.0)), 4, 3)
    with pytest.raises(InputError, match="compute what the original"):
        other.warm_start(tt.classifier(plain(Captured()), 4))
