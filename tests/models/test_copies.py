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
