import conftest
import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer import twohead
from tf_transfer.errors import InputError


def make(encoder=None, **compiled):
    encoder = encoder or tt.small_encoder((8, 8, 1), 4)
    model = twohead.TwoHeads(encoder, 8, 4)
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1)} | compiled)
    return model


def batches():
    source = next(iter(conftest.blobs(classes=8).batches(16)))
    target = next(iter(conftest.blobs(seed=1).batches(6)))
    return source, target


def cross_entropy(labels, logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_probs[np.arange(len(labels)), labels]


def test_the_loss_is_the_papers():
    """The weighted source mean times the scale, plus the target mean."""
    model = make()
    source, target = batches()
    weights = np.linspace(0, 1, 16, dtype=np.float32)
    features = model.encoder(source[0])
    outputs = np.array(model.source_head(features))
    of_source = cross_entropy(source[1].numpy(), outputs) @ weights
    of_source /= weights.sum()
    of_target = cross_entropy(target[1].numpy(), np.array(model(target[0])))
    found, logs = model.joint_step(source, tf.constant(weights), 0.3, target)
    np.testing.assert_allclose(found, features, atol=1e-6)
    assert float(logs["source_loss"]) == pytest.approx(of_source, abs=1e-5)
    expected = 0.3 * of_source + of_target.mean()
    assert float(logs["loss"]) == pytest.approx(expected, abs=1e-5)


def test_every_variable_is_trained():
    model = make()
    before = [np.array(v) for v in model.model_variables()]
    source, target = batches()
    model.joint_step(source, tf.ones(16), 1.0, target)
    assert len(before) == len(model.trainable_variables) == 18
    for old, new in zip(before, model.model_variables(), strict=True):
        assert (old != np.array(new)).any(), new.path


def test_a_source_without_weight_leaves_its_head_alone():
    model = make()
    before = model.source_head.get_weights()
    source, target = batches()
    model.joint_step(source, tf.zeros(16), 1.0, target)
    for old, new in zip(before, model.source_head.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_regularisers_count_once():
    inputs = keras.Input((8, 8, 1))
    layer = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(1.0))
    encoder = keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))
    model = make(encoder)
    penalty = float(np.square(layer.get_weights()[0]).sum())
    source, target = batches()
    _, logs = model.joint_step(source, tf.ones(16), 1.0, target)
    rest = float(logs["source_loss"] + logs["target_loss"])
    assert float(logs["loss"]) - rest == pytest.approx(penalty, rel=1e-4)


def test_warm_start_copies_encoder_and_source_head():
    model, generalist = make(), conftest.tiny_classifier(classes=8)
    model.warm_start(generalist)
    images, _ = next(iter(conftest.blobs().batches(5)))
    np.testing.assert_allclose(
        model.source_head(model.encoder(images)), generalist(images), atol=1e-6
    )
    with pytest.raises(InputError, match="and 8 classes"):
        model.warm_start(conftest.tiny_classifier(classes=5))


def test_classifier_is_the_target_model():
    model = make()
    images, _ = next(iter(conftest.blobs().batches(5)))
    classifier = model.classifier()
    np.testing.assert_array_equal(classifier(images), model(images))
    assert len(classifier.variables) == len(model.variables) - 2


def test_refuses():
    with pytest.raises(InputError, match="must be built"):
        twohead.TwoHeads(keras.Sequential([keras.layers.Dense(3)]), 2, 2)
    images = keras.Input((8, 8, 1))
    encoder = keras.Model(images, keras.layers.Conv2D(2, 3)(images))
    with pytest.raises(InputError, match=r"return features \[B, D\]"):
        twohead.TwoHeads(encoder, 2, 2)
    with pytest.raises(InputError, match="at least one source"):
        twohead.TwoHeads(tt.small_encoder((8, 8, 1), 4), 0, 2)
