import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError

PRIOR = np.full(4, 0.25)


def compiled(model, **settings):
    model.compile("sgd", helpers.LOSS, **settings)
    return model


def fit(model, dataset, callbacks=(), epochs=1):
    return model.fit(
        dataset,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
        shuffle=False,
    )


def unit(images):
    return images.images / np.float32(255)


def batches(images, size=16):
    return images.batches(size)


def test_callback_estimates_before_the_first_batch_reaches_the_loss():
    """A generalist that predicts one class alone leaves only that class."""
    images = helpers.blobs()
    generalist = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )
    generalist.set_weights([np.zeros((64, 4)), np.array([0, 0, 60, 0])])
    importance = tt.ImportanceWeights(4)
    sample_weights = []

    class Spy(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_sum(y_pred, axis=-1)

        def __call__(self, y_true, y_pred, sample_weight=None):
            tf.py_function(
                lambda w: sample_weights.append(w.numpy()), [sample_weight], []
            )
            return super().__call__(y_true, y_pred, sample_weight)

    model = helpers.tiny_classifier()
    model.compile("sgd", Spy())
    adapt = tt.DATL(importance, unit(images), PRIOR, generalist)
    fit(model, importance.attach(batches(images)), [adapt])
    assert int(importance.updates) == 1
    np.testing.assert_allclose(importance.numpy(), [0, 0, 4, 0], atol=1e-5)
    assert set(np.concatenate(sample_weights).round(4)) == {0.0, 4.0}


def test_callback_estimates_again_from_the_model_in_training():
    images = helpers.blobs()
    importance = tt.ImportanceWeights(4)
    adapt = tt.DATL(importance, unit(images.take([2] * 9)), PRIOR, every=2)
    history = fit(
        compiled(helpers.tiny_classifier()),
        importance.attach(batches(images)),
        [adapt],
        epochs=5,
    )
    assert int(importance.updates) == 2
    largest = history.history["datl_largest_weight"]
    assert largest[0] == pytest.approx(1)
    assert largest[1] == largest[2] > 1
    assert history.history["datl_ess"][1] < 1
    assert history.history["datl_entropy"][0] == pytest.approx(np.log(4))


def test_weights_grow_over_the_first_epochs():
    """The exponent is 1/2, then 1; the epochs of Keras start at 0."""
    images, target_prior = helpers.blobs(), np.array([0.7, 0.1, 0.1, 0.1])
    importance = tt.ImportanceWeights(4)
    importance.update(target_prior, PRIOR)
    adapt = tt.DATL(importance, unit(images), PRIOR, every=9, growing=2)
    history = fit(
        compiled(helpers.tiny_classifier()),
        importance.attach(batches(images)),
        [adapt],
        epochs=4,
    )
    roots = np.sqrt(target_prior)
    assert history.history["datl_largest_weight"] == pytest.approx(
        [roots[0] / roots.mean(), 2.8, 2.8, 2.8], rel=1e-5
    )


def test_weights_that_reach_no_loss_are_an_error():
    images = helpers.blobs()
    importance = tt.ImportanceWeights(4)
    adapt = tt.DATL(importance, unit(images), PRIOR)
    with pytest.raises(InputError, match="do not reach the loss"):
        fit(compiled(helpers.tiny_classifier()), batches(images), [adapt])


def test_a_low_effective_sample_size_warns():
    images = helpers.blobs(classes=16)
    generalist = helpers.tiny_classifier(classes=16)
    generalist.layers[-1].bias.assign([90.0] + [0.0] * 15)
    importance = tt.ImportanceWeights(16)
    adapt = tt.DATL(importance, unit(images), [1 / 16] * 16, generalist)
    with pytest.warns(UserWarning, match="repeat few examples"):
        fit(
            compiled(helpers.tiny_classifier(classes=16)),
            importance.attach(batches(images)),
            [adapt],
        )


@pytest.mark.parametrize("prior", [[30, 30, 30, 30], [0.5, 0.5], [[0.25] * 4]])
def test_a_prior_must_be_shares_of_every_class(prior):
    with pytest.raises(InputError, match="prior must h"):
        tt.DATL(tt.ImportanceWeights(4), None, prior)


def test_callback_refuses():
    importance = tt.ImportanceWeights(4)
    with pytest.raises(InputError, match="`every` must be at least 1"):
        tt.DATL(importance, None, PRIOR, every=0)
    with pytest.raises(InputError, match="`growing` must not be negative"):
        tt.DATL(importance, None, PRIOR, growing=-1)


def test_state_is_saved_and_restored(tmp_path):
    images = helpers.blobs()
    importance = tt.ImportanceWeights(4)
    importance.update([0.7, 0.1, 0.1, 0.1], PRIOR)
    path = tf.train.Checkpoint(weights=importance).save(tmp_path / "state")
    again = tt.ImportanceWeights(4)
    tf.train.Checkpoint(weights=again).restore(path).assert_consumed()
    np.testing.assert_array_equal(again.numpy(), importance.numpy())
    # Training goes on from the restored weights until the next estimate.
    adapt = tt.DATL(again, unit(images), PRIOR, every=2)
    history = fit(
        compiled(helpers.tiny_classifier()),
        again.attach(batches(images)),
        [adapt],
    )
    np.testing.assert_array_equal(again.numpy(), importance.numpy())
    assert history.history["datl_largest_weight"] == [
        pytest.approx(importance.numpy().max())
    ]


@pytest.mark.parametrize("apply", ["attach", "resample", "draw"])
@pytest.mark.parametrize(
    "inside", [pytest.param(True, marks=pytest.mark.slow), False]
)
@pytest.mark.slow
def test_two_replicas_equal_one(mirrored, apply, inside):
    images = helpers.blobs()
    weights = helpers.tiny_classifier().get_weights()
    generalist = helpers.tiny_classifier()

    def train(scope):
        with scope():
            model = compiled(helpers.tiny_classifier())
            importance = tt.ImportanceWeights(4) if inside else None
        importance = importance or tt.ImportanceWeights(4)
        model.set_weights(weights)
        if apply == "draw":
            indices = importance.draw(images.labels, batch_size=8, seed=0)
            dataset = images.gather(indices)
        elif apply == "resample":
            dataset = importance.resample(batches(images, 8), seed=0)
        else:
            dataset = importance.attach(batches(images, 8).repeat())
        adapt = tt.DATL(importance, unit(images), PRIOR, generalist)
        model.fit(
            dataset,
            steps_per_epoch=5,
            callbacks=[adapt],
            verbose=0,
            shuffle=False,
        )
        return model.get_weights()

    one = train(tf.distribute.get_strategy().scope)
    two = train(mirrored.scope)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.slow
def test_a_keras_applications_classifier_as_the_generalist():
    generalist = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=4
    )
    images = np.random.default_rng(0).random((6, 32, 32, 3), np.float32)
    importance = tt.ImportanceWeights(4)
    adapt = tt.DATL(importance, images, PRIOR, generalist, from_logits=False)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )
    source = tf.data.Dataset.from_tensors((images, np.arange(6) % 4))
    fit(compiled(model), importance.attach(source), [adapt])
    expected = generalist.predict(images, verbose=0).mean(axis=0) / PRIOR
    np.testing.assert_allclose(importance.numpy(), expected, rtol=1e-4)


def test_datl_trains_a_model_of_two_inputs():
    image, vector = keras.Input((2, 2, 1)), keras.Input((3,))
    features = [keras.layers.Flatten()(image), vector]
    logits = keras.layers.Dense(4)(keras.layers.Concatenate()(features))
    model = keras.Model([image, vector], logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    rng = np.random.default_rng(0)
    inputs = rng.random((8, 2, 2, 1), "f"), rng.random((8, 3), "f")
    source = tf.data.Dataset.from_tensor_slices((inputs, np.arange(8) % 4))
    source = source.batch(4)
    importance = tt.ImportanceWeights(4)
    adapt = tt.DATL(importance, source, [0.25] * 4, model)
    model.fit(
        importance.attach(source), callbacks=[adapt], shuffle=False, verbose=0
    )
    assert adapt.estimate.count == 8
    wrong = tt.DATL(
        importance, source.map(lambda x, y: x[0]), [0.25] * 4, model
    )
    with pytest.raises(InputError, match="shape that the model takes"):
        wrong.on_train_begin()


def test_a_fit_of_the_legacy_keras_is_refused():
    legacy = pytest.importorskip("tf_keras")
    images = helpers.blobs()
    importance = tt.ImportanceWeights(4)
    model = legacy.Sequential([legacy.layers.Flatten(), legacy.layers.Dense(4)])
    model.compile(
        "sgd", legacy.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    callback = tt.DATL(importance, unit(images), PRIOR)
    with pytest.raises(InputError, match="callback of Keras 3"):
        fit(model, importance.attach(batches(images)), [callback])
