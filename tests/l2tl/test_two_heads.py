import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.l2tl import rewards, two_heads


def make(encoder=None, relabel=False, **compiled):
    encoder = encoder or tt.small_encoder((8, 8, 1), 4)
    model = two_heads.TwoHeadModel(encoder, 8, 4, relabel)
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1)} | compiled)
    return model


def batches():
    source = next(iter(helpers.blobs(classes=8).batches(16)))
    target = next(iter(helpers.blobs(seed=1).batches(6)))
    return source, target


def cross_entropy(labels, logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_probs[np.arange(len(labels)), labels]


def test_the_loss_is_that_of_the_paper():
    """The weighted source mean times the scale, plus the target mean."""
    model = make()
    source, target = batches()
    weights = np.linspace(0, 1, 16, dtype=np.float32)
    features = model.encoder(source[0])
    outputs = np.array(model.source_head(features))
    source_loss = cross_entropy(source[1].numpy(), outputs) @ weights
    source_loss /= weights.sum()
    losses = cross_entropy(target[1].numpy(), np.array(model(target[0])))
    probabilities = tf.nn.softmax(outputs) - np.eye(outputs.shape[1])[source[1]]
    gradients = probabilities @ np.array(model.source_head.kernel).T
    returned, directions, logs = model.joint_step(
        source, tf.constant(weights), 0.3, target
    )
    np.testing.assert_allclose(returned, features, atol=1e-6)
    np.testing.assert_allclose(directions, gradients, atol=1e-5)
    assert float(logs["source_loss"]) == pytest.approx(source_loss, abs=1e-5)
    expected = 0.3 * source_loss + losses.mean()
    assert float(logs["loss"]) == pytest.approx(expected, abs=1e-5)


def with_statistics():
    """An encoder with batch normalisation and penalties of both kinds."""
    images = keras.Input((8, 8, 1))
    features = keras.layers.Dense(
        6, kernel_regularizer="l2", activity_regularizer="l2"
    )(keras.layers.Flatten()(images))
    return keras.Model(images, keras.layers.BatchNormalization()(features))


def test_statistics_are_those_of_the_target_alone():
    model = make(with_statistics())
    source, target = batches()
    dense, norm = model.encoder.layers[-2:]
    inputs = keras.ops.reshape(target[0], (6, -1))
    mean = np.array(keras.ops.mean(dense(inputs), axis=0))
    assert abs(mean).max() > 0.01
    model.joint_step((source[0] + 9, source[1]), tf.ones(16), 1.0, target)
    np.testing.assert_allclose(norm.moving_mean, 0.01 * mean, atol=1e-6)


def test_penalties_are_added_for_both_passes_and_for_weights_once():
    model = make(with_statistics())
    source, target = batches()
    dense = model.encoder.layers[-2]
    penalty = dense.kernel_regularizer(dense.kernel)
    for images in (source[0], target[0]):
        outputs = dense(keras.ops.reshape(images, (len(images), -1)))
        penalty += dense.activity_regularizer(outputs) / len(images)
    *_, logs = model.joint_step(source, tf.ones(16), 1.0, target)
    parts = logs["source_loss"] + logs["target_loss"]
    assert float(penalty) > 0.1
    assert float(logs["loss"] - parts) == pytest.approx(float(penalty), 1e-4)


def test_every_variable_is_trained():
    model = make()
    before = [np.array(v) for v in model.model_variables()]
    source, target = batches()
    model.joint_step(source, tf.ones(16), 1.0, target)
    assert len(before) == len(model.trainable_variables) == 18
    for old, new in zip(before, model.model_variables(), strict=True):
        assert (old != np.array(new)).any(), new.path


def relation():
    """Classes 0 to 5 resemble some target classes, 6 and 7 none."""
    rows = np.zeros((8, 4), np.float32)
    rows[:3, 0] = 1
    rows[3:6] = [0.7, 0.1, 0.2, 0.0]
    return rows


def test_source_losses_by_hand():
    """A class with a row uses the target head, others the source head."""
    model = make(relabel=True)
    features = tf.random.normal((8, 128), seed=0)
    labels = np.arange(8)
    own = cross_entropy(labels, np.array(model.source_head(features)))
    losses = model.source_losses(tf.constant(labels), features)
    np.testing.assert_allclose(losses, own, atol=1e-5)
    model.relate(relation())
    logits = np.array(model.target_head(features))
    by_class = [cross_entropy(np.full(8, c), logits) for c in range(4)]
    shares = np.array([0.7, 0.1, 0.2])
    certainty = 1 + shares @ np.log(shares) / np.log(4)
    expected = own.copy()
    expected[:3] = by_class[0][:3]
    expected[3:6] = certainty * (shares @ np.array(by_class[:3]))[3:6]
    losses = model.source_losses(tf.constant(labels), features)
    np.testing.assert_allclose(losses, expected, atol=1e-5)
    np.testing.assert_allclose(
        model.target_losses(tf.constant(labels[:4]), features[:4]),
        cross_entropy(labels[:4], logits[:4]),
        atol=1e-5,
    )


@pytest.mark.parametrize("related", [True, False])
def test_source_images_with_a_row_teach_the_target_head(related):
    """Only the relation differs: the target's images are the same."""
    weights = []
    for rows in (np.zeros((8, 4)), relation()):
        keras.utils.set_random_seed(0)
        model = make(relabel=True)
        model.relate(rows)
        source, target = batches()
        mask = (source[1] < 6) == related
        source = source[0][mask], source[1][mask]
        before = model.source_head.get_weights()
        model.joint_step(source, tf.ones(len(source[1])), 1.0, target)
        weights.append(model.target_head.get_weights())
    for own, shared in zip(*weights, strict=True):
        assert np.allclose(own, shared, atol=1e-7) != related
    for old, new in zip(before, model.source_head.get_weights(), strict=True):
        assert np.array_equal(old, new) == related


def test_with_a_relation_every_variable_is_trained():
    model = make(relabel=True)
    model.relate(relation())
    before = [np.array(v) for v in model.trainable_variables]
    source, target = batches()
    model.joint_step(source, tf.ones(16), 1.0, target)
    assert len(before) == 18
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert (old != np.array(new)).any(), new.path
    np.testing.assert_array_equal(model.relation, relation())


@pytest.mark.parametrize(
    "shares",
    [
        np.ones((8, 4)),
        np.full((4, 8), 1 / 8),
        np.full(8, 1.0),
        1.0,
        np.full((8, 4), np.nan),
        np.tile([1.5, -0.5, 0, 0], (8, 1)),
        np.tile([np.inf, 0, 0, 0], (8, 1)),
    ],
    ids=["sums", "turned", "flat", "scalar", "nan", "negative", "inf"],
)
def test_relate_refuses_rows_that_are_no_shares(shares):
    model = make(relabel=True)
    model.relate(relation())
    with pytest.raises(InputError, match=r"shape \(8, 4\) whose rows have"):
        model.relate(shares)
    np.testing.assert_array_equal(model.relation, relation())


def test_relate_needs_a_model_that_relabels():
    with pytest.raises(InputError, match="Received: relabel=False"):
        make().relate(relation())


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
    *_, logs = model.joint_step(source, tf.ones(16), 1.0, target)
    rest = float(logs["source_loss"] + logs["target_loss"])
    assert float(logs["loss"]) - rest == pytest.approx(penalty, rel=1e-4)


def test_warm_start_copies_encoder_and_source_head():
    model, generalist = make(), helpers.tiny_classifier(classes=8)
    model.warm_start(generalist)
    images, _ = next(iter(helpers.blobs().batches(5)))
    np.testing.assert_allclose(
        model.source_head(model.encoder(images)), generalist(images), atol=1e-6
    )
    with pytest.raises(InputError, match="and 8 classes"):
        model.warm_start(helpers.tiny_classifier(classes=5))


def test_classifier_is_the_target_model():
    model = make()
    images, _ = next(iter(helpers.blobs().batches(5)))
    classifier = model.classifier()
    np.testing.assert_array_equal(classifier(images), model(images))
    assert len(classifier.variables) == len(model.variables) - 2


def test_refuses():
    with pytest.raises(InputError, match="must be built"):
        two_heads.TwoHeadModel(keras.Sequential([keras.layers.Dense(3)]), 2, 2)
    images = keras.Input((8, 8, 1))
    encoder = keras.Model(images, keras.layers.Conv2D(2, 3)(images))
    with pytest.raises(InputError, match=r"return features \[B, D\]"):
        two_heads.TwoHeadModel(encoder, 2, 2)
    with pytest.raises(InputError, match="`num_source_classes` must be"):
        two_heads.TwoHeadModel(tt.small_encoder((8, 8, 1), 4), 0, 2)
    model = two_heads.TwoHeadModel(tt.small_encoder((8, 8, 1), 4), 2, 2)
    with pytest.raises(InputError, match=r"takes logits.*Received: 'sparse"):
        model.compile("sgd", loss="sparse_categorical_crossentropy")


def test_logs_of_an_epoch_are_means_over_its_steps():
    model = make(metrics=["accuracy"])
    labels, outputs = tf.constant([0, 1]), tf.one_hot([0, 0], 4)
    for loss in (1.0, 2.0, 6.0):
        logs = {"loss": 3 * loss, "source_loss": 2 * loss, "target_loss": loss}
        means = model.joint_logs(logs | {"outputs": outputs}, labels)
    means = {name: float(value) for name, value in means.items()}
    losses = {"loss": 9.0, "source_loss": 6.0, "target_loss": 3.0}
    assert means == losses | {"accuracy": 0.5}


@pytest.mark.parametrize("size", [7, pytest.param(13, marks=pytest.mark.slow)])
def test_metrics_on_two_devices_are_those_of_one(mirrored, size):
    """Batches of three leave the second device fewer images, or none."""
    images = helpers.blobs(per_class=4, seed=3)
    rows = tf.data.Dataset.from_tensor_slices(
        (images.images[:size].astype("float32") / 255, images.labels[:size])
    ).batch(3)
    keras.utils.set_random_seed(0)
    with mirrored.scope():
        encoder = keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Flatten()]
        )
        model = tt.L2TL(encoder, 4, 4, policy_warmup=0)
        model.compile(
            metrics=["accuracy", rewards.MeanPerClassAccuracy(4)],
            weighted_metrics=[rewards.SparseAUC(4)],
        )
    scores = model.evaluate(rows, verbose=0, return_dict=True)
    assert set(scores) == {
        "loss",
        "accuracy",
        "mean_per_class_accuracy",
        "auc",
    }
    logits = np.concatenate([model(x).numpy() for x, _ in rows])
    labels = images.labels[:size]
    right = logits.argmax(1) == labels
    by_class = [right[labels == c].mean() for c in np.unique(labels)]
    auc = rewards.SparseAUC(4)
    auc.update_state(labels, logits)
    np.testing.assert_allclose(scores["accuracy"], right.mean(), atol=1e-6)
    np.testing.assert_allclose(
        scores["mean_per_class_accuracy"], np.mean(by_class), atol=1e-6
    )
    np.testing.assert_allclose(scores["auc"], auc.result(), atol=1e-6)
    np.testing.assert_allclose(
        scores["loss"], helpers.LOSS(labels, logits), atol=1e-6
    )
