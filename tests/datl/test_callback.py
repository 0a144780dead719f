import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.datl import resampling
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


def test_weights_start_equal_and_are_set_with_mean_one():
    importance = tt.ImportanceWeights(3)
    np.testing.assert_array_equal(importance.numpy(), 1)
    importance.assign([1, 2, 3], [0.5, 0.25, 0.25])
    np.testing.assert_allclose(importance.numpy(), np.array([4, 8, 12]) / 7)
    assert int(importance.updates) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 1], "must have length 3"),
        ([-1, 1, 1], "not negative"),
        ([0, 0, 0], "all be zero"),
    ],
)
def test_weights_refuse(values, message):
    with pytest.raises(InputError, match=message):
        tt.ImportanceWeights(3).assign(values, np.full(3, 1 / 3))


def test_constructor_refuses():
    with pytest.raises(InputError, match="num_source_classes"):
        tt.ImportanceWeights(0)
    with pytest.raises(InputError, match="temper"):
        tt.ImportanceWeights(2, temper=-1)


def test_config_round_trip():
    importance = tt.ImportanceWeights(5, temper=0.5, clip=3.0, top_k=2)
    again = tt.ImportanceWeights.from_config(importance.get_config())
    assert again.get_config() == importance.get_config()


def test_the_target_prior_is_kept_however_the_weights_are_shaped():
    importance = tt.ImportanceWeights(2, temper=0.0)
    importance.update([0.9, 0.1], [0.5, 0.5])
    np.testing.assert_array_equal(importance.numpy(), 1)
    np.testing.assert_allclose(importance.target_prior, [0.9, 0.1])


def test_diagnostics_are_of_clipped_and_tempered_ratios():
    importance = tt.ImportanceWeights(2, temper=0.5, clip=1.5)
    found = importance.diagnostics([0.8, 0.2], [0.2, 0.8])
    # Ratios of 2 and .5, with masses of .4 and .4: .1 of .8 is cut off.
    assert found.clipped == pytest.approx(0.125)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_attach_gives_each_example_the_weight_of_its_class(batch_size):
    importance = tt.ImportanceWeights(3)
    importance.assign([1, 2, 3], np.full(3, 1 / 3))
    labels = np.array([2, 0, 1, 1])
    dataset = tf.data.Dataset.from_tensor_slices((labels, labels))
    if batch_size:
        dataset = dataset.batch(batch_size)
    found = importance.attach(dataset)
    weights = np.concatenate([np.atleast_1d(w) for _, _, w in found])
    np.testing.assert_allclose(weights, np.array([3, 1, 2, 2]) / 2)


def test_nothing_is_read_of_a_dataset_before_training():
    begun = []

    def examples():
        begun.append(True)
        yield np.zeros(2), 1

    shapes = tf.TensorSpec((2,), tf.float32), tf.TensorSpec((), tf.int32)
    source = tf.data.Dataset.from_generator(examples, output_signature=shapes)
    importance = tt.ImportanceWeights(2)
    importance.attach(source.batch(4))
    importance.resample(source, seed=0)
    assert not begun


def test_attach_refuses_a_dataset_with_weights_or_one_hot_labels():
    importance = tt.ImportanceWeights(3)
    triple = tf.data.Dataset.from_tensors(([0.0], [1], [1.0]))
    with pytest.raises(InputError, match="without sample weights"):
        importance.attach(triple)
    one_hot = tf.data.Dataset.from_tensors(([0.0], [[0.0, 1.0]]))
    with pytest.raises(InputError, match="one-hot"):
        importance.attach(one_hot)


def test_attach_resample_and_class_weight_agree_on_a_convex_model():
    """All three train the same weighted objective to the same optimum."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    x = rng.normal(size=(1000, 2)) + np.array([[1, 0], [-1, 0], [0, 1]])[labels]
    order = rng.permutation(1000)
    x, labels = x[order].astype(np.float32), labels[order]
    prior = np.bincount(labels) / 1000
    importance = tt.ImportanceWeights(3)
    importance.update([0.1, 0.2, 0.7], prior)
    dataset = tf.data.Dataset.from_tensor_slices((x, labels)).batch(500)

    def train(data, **settings):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        model.set_weights([np.zeros((2, 3)), np.zeros(3)])
        model.compile(keras.optimizers.SGD(0.5), helpers.LOSS)
        model.fit(
            data,
            steps_per_epoch=150,
            verbose=0,
            shuffle=False,
            **settings,
        )
        return np.concatenate([w.ravel() for w in model.get_weights()])

    attached = train(importance.attach(dataset.repeat()))
    by_keras = train(
        dataset.repeat(), class_weight=importance.as_class_weight()
    )
    resampled = train(importance.resample(dataset, seed=0))
    plain = train(dataset.repeat())
    np.testing.assert_allclose(by_keras, attached, atol=1e-4)
    np.testing.assert_allclose(resampled, attached, atol=0.15)
    assert np.abs(plain - attached).max() > 0.5


def test_resampling_makes_new_choices_in_every_pass():
    importance = tt.ImportanceWeights(2)
    importance.assign([1.5, 0.5], [0.5, 0.5])
    labels = np.arange(64) % 2
    dataset = tf.data.Dataset.from_tensor_slices((np.arange(64), labels))
    stage = importance.resample(dataset.batch(64), seed=0)
    passes = [set(x.numpy()) for x, _ in stage.take(12)]
    assert stage.cardinality() != 1
    assert set().union(*passes) == set(range(64))
    assert passes[0] != set(range(64))


@pytest.mark.parametrize(
    "settings", [{"replacement": False}, {"rate": 0.5}, {"block_size": 16}]
)
def test_resampling_is_done_as_asked(settings):
    importance = tt.ImportanceWeights(2)
    importance.assign([1.5, 0.5], [0.5, 0.5])
    dataset = tf.data.Dataset.from_tensor_slices(
        (np.arange(64), np.arange(64) % 2)
    )
    stages = (
        importance.resample(dataset, seed=0, **settings),
        resampling.resample(
            dataset.repeat(), importance.values, seed=0, **settings
        ),
    )
    found, expected = (next(iter(stage.batch(40)))[0] for stage in stages)
    np.testing.assert_array_equal(found, expected)


def test_callback_estimates_before_the_first_batch_reaches_the_loss():
    """A generalist that knows one class alone leaves only that class."""
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
    seen = []

    class Spy(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_sum(y_pred, axis=-1)

        def __call__(self, y_true, y_pred, sample_weight=None):
            tf.py_function(
                lambda w: seen.append(w.numpy()), [sample_weight], []
            )
            return super().__call__(y_true, y_pred, sample_weight)

    model = helpers.tiny_classifier()
    model.compile("sgd", Spy())
    adapt = tt.DATL(importance, unit(images), PRIOR, generalist)
    fit(model, importance.attach(batches(images)), [adapt])
    assert int(importance.updates) == 1
    np.testing.assert_allclose(importance.numpy(), [0, 0, 4, 0], atol=1e-5)
    assert set(np.concatenate(seen).round(4)) == {0.0, 4.0}


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


def test_weights_that_reach_no_loss_are_an_error():
    images = helpers.blobs()
    importance = tt.ImportanceWeights(4)
    adapt = tt.DATL(importance, unit(images), PRIOR)
    with pytest.raises(InputError, match="reach no loss"):
        fit(compiled(helpers.tiny_classifier()), batches(images), [adapt])


def test_class_weights_are_refused_before_there_is_an_estimate():
    with pytest.raises(InputError, match="not set yet"):
        tt.ImportanceWeights(2).as_class_weight()


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
