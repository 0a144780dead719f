import keras
import numpy as np
import pytest
import scipy.special

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError

RELATION = np.array([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]], np.float32)


def linear(weights):
    """A classifier whose encoder is the identity on two values."""
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(2, use_bias=False),
            keras.layers.Dense(3),
        ]
    )
    model.set_weights([np.eye(2), weights, np.zeros(3)])
    return model


def test_one_step_equals_the_gradient_by_hand():
    """Of both cross-entropies, for a linear encoder and two heads."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2, 3)).astype(np.float32)
    images = rng.normal(size=(8, 2)).astype(np.float32)
    labels = np.arange(8) % 2
    model = tt.CoTuning(linear(kernel), RELATION, weight=0.5)
    model.compile(keras.optimizers.SGD(0.1), metrics=["accuracy"])
    logs = model.fit(
        images, labels, batch_size=8, shuffle=False, verbose=0
    ).history

    target = kernel @ RELATION.T
    soft = RELATION[labels]
    outputs = [images @ target, images @ kernel]
    right = [np.eye(2)[labels], soft]
    errors = [
        scipy.special.softmax(o, axis=1) - r
        for o, r in zip(outputs, right, strict=True)
    ]
    expected = target - 0.1 * images.T @ errors[0] / 8
    np.testing.assert_allclose(
        model.target_head.get_weights()[0], expected, atol=1e-6
    )
    expected = kernel - 0.1 * 0.5 * images.T @ errors[1] / 8
    np.testing.assert_allclose(
        model.source_head.get_weights()[0], expected, atol=1e-6
    )
    by_features = errors[0] @ target.T + 0.5 * errors[1] @ kernel.T
    expected = np.eye(2) - 0.1 * images.T @ by_features / 8
    np.testing.assert_allclose(
        model.encoder.get_weights()[0], expected, atol=1e-6
    )
    entropies = [
        -(r * scipy.special.log_softmax(o, axis=1)).sum(axis=1).mean()
        for o, r in zip(outputs, right, strict=True)
    ]
    assert logs["loss"][0] == pytest.approx(
        entropies[0] + 0.5 * entropies[1], rel=1e-5
    )
    assert logs["accuracy"][0] == (outputs[0].argmax(axis=1) == labels).mean()


def test_without_weight_it_is_fine_tuning():
    images = helpers.blobs()
    source = helpers.tiny_classifier()
    relation = np.full((4, 4), 0.1) + 0.6 * np.eye(4)
    tuned = tt.replace_head(source, 4, relation)
    tuned.compile(keras.optimizers.SGD(0.1), helpers.LOSS)
    model = tt.CoTuning(source, relation, weight=0.0)
    model.compile(keras.optimizers.SGD(0.1))
    for each in (tuned, model):
        each.fit(images.batches(16), verbose=0, shuffle=False)
    expected = tuned.predict(images.batches(16), verbose=0)
    np.testing.assert_allclose(
        model.predict(images.batches(16), verbose=0), expected, atol=1e-5
    )
    np.testing.assert_allclose(
        model.classifier().predict(images.batches(16), verbose=0),
        expected,
        atol=1e-5,
    )
    assert model.evaluate(images.batches(16), verbose=0) == pytest.approx(
        tuned.evaluate(images.batches(16), verbose=0), rel=1e-5
    )


def test_the_source_model_is_left_alone_and_can_be_started_from_again():
    images = helpers.blobs()
    source = helpers.tiny_classifier()
    before = source.get_weights()
    relation = np.full((4, 4), 0.25)
    model = tt.CoTuning(source, relation)
    start = model.get_weights()
    model.compile("sgd")
    model.fit(images.batches(16), verbose=0, shuffle=False)
    assert helpers.equal_states(source.get_weights(), before)
    assert not helpers.equal_states(model.get_weights(), start)
    model.restart(source, relation)
    assert helpers.equal_states(model.get_weights(), start)


def test_labels_in_a_column_are_class_numbers_and_one_hot_ones_refused():
    images = np.ones((4, 2), np.float32)
    losses = []
    for labels in (np.arange(4) % 2, np.arange(4)[:, None] % 2):
        model = tt.CoTuning(linear(np.ones((2, 3))), RELATION)
        model.compile("sgd")
        losses += model.fit(images, labels, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(losses[1])
    model.compile("sgd", keras.losses.CategoricalCrossentropy(True))
    with pytest.raises(InputError, match="not one-hot"):
        model.fit(images, np.eye(2)[[0, 1, 0, 1]], verbose=0)


@pytest.mark.parametrize(
    ("encoder", "relation"),
    [(4, RELATION), (2, np.full((3, 3), 1 / 3))],
)
def test_a_restart_from_other_layers_or_classes_is_refused(encoder, relation):
    model = tt.CoTuning(linear(np.ones((2, 3))), RELATION)
    start = model.get_weights()
    other = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(encoder, use_bias=False),
            keras.layers.Dense(3),
        ]
    )
    with pytest.raises(InputError, match="must have this model's encoder"):
        model.restart(other, relation)
    assert helpers.equal_states(model.get_weights(), start)


def test_a_restart_takes_what_layers_hold_outside_weights():
    images = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    models = []
    for scale in (1, 50):
        norm = keras.layers.Normalization()
        norm.adapt(scale * images + scale)
        model = keras.Sequential([keras.Input((2,)), norm])
        model.add(keras.layers.Dense(3))
        models.append(model)
    tuned = tt.CoTuning(models[0], RELATION)
    tuned.restart(models[1], RELATION)
    expected = models[1].layers[0](images)
    np.testing.assert_allclose(tuned.encoder(images), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("relation", "settings", "message"),
    [
        (RELATION * 2, {}, "rows sum to 1"),
        (RELATION[0], {}, "rows sum to 1"),
        (np.zeros((0, 3)), {}, "rows sum to 1"),
        ([[1.5, -0.5, 0.0]], {}, "rows sum to 1"),
        (np.full((2, 3), np.nan), {}, "rows sum to 1"),
        (np.full((2, 4), 0.25), {}, "of shape"),
        (RELATION, {"weight": -1.0}, "not negative"),
        (RELATION, {"weight": np.nan}, "not negative"),
    ],
)
def test_refuses(relation, settings, message):
    with pytest.raises(InputError, match=message):
        tt.CoTuning(linear(np.ones((2, 3))), relation, **settings)


def test_a_head_that_cannot_be_mixed_is_refused():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(3, 4),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
        ]
    )
    with pytest.raises(InputError, match="ends in a Dense layer"):
        tt.CoTuning(model, RELATION)
