import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.datl import resampling
from tf_transfer.errors import InputError


def test_weights_start_equal_and_are_set_with_mean_one():
    importance = tt.ImportanceWeights(3)
    np.testing.assert_array_equal(importance.numpy(), 1)
    importance.assign([1, 2, 3], [0.5, 0.25, 0.25])
    np.testing.assert_allclose(importance.numpy(), np.array([4, 8, 12]) / 7)
    assert int(importance.updates) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 1], "one weight per source class, 3"),
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
    summary = importance.diagnostics([0.8, 0.2], [0.2, 0.8])
    # Ratios of 2 and .5, with masses of .4 and .4: .1 of .8 is cut off.
    assert summary.clipped == pytest.approx(0.125)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_attach_gives_each_example_the_weight_of_its_class(batch_size):
    importance = tt.ImportanceWeights(3)
    importance.assign([1, 2, 3], np.full(3, 1 / 3))
    labels = np.array([2, 0, 1, 1])
    dataset = tf.data.Dataset.from_tensor_slices((labels, labels))
    if batch_size:
        dataset = dataset.batch(batch_size)
    triples = importance.attach(dataset)
    weights = np.concatenate([np.atleast_1d(w) for _, _, w in triples])
    np.testing.assert_allclose(weights, np.array([3, 1, 2, 2]) / 2)


def test_a_dataset_is_not_read_before_training():
    reads = []

    def examples():
        reads.append(True)
        yield np.zeros(2), 1

    shapes = tf.TensorSpec((2,), tf.float32), tf.TensorSpec((), tf.int32)
    source = tf.data.Dataset.from_generator(examples, output_signature=shapes)
    importance = tt.ImportanceWeights(2)
    importance.attach(source.batch(4))
    importance.resample(source, seed=0)
    assert not reads


def test_attach_refuses_a_dataset_with_weights_or_one_hot_labels():
    importance = tt.ImportanceWeights(3)
    triple = tf.data.Dataset.from_tensors(([0.0], [1], [1.0]))
    with pytest.raises(
        InputError, match="not one-hot vectors or sample weights"
    ):
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
def test_resampling_follows_its_settings(settings):
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
    indices, expected = (next(iter(stage.batch(40)))[0] for stage in stages)
    np.testing.assert_array_equal(indices, expected)


def test_class_weights_are_refused_before_there_is_an_estimate():
    with pytest.raises(InputError, match="not set yet"):
        tt.ImportanceWeights(2).as_class_weight()
