import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from tf_transfer.errors import InputError
from tf_transfer.l2tl import rewards

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 4 * (np.arange(60) % 3 > 0)
LOGITS = RNG.normal(size=(60, 4)) + np.eye(4)[LABELS]
LOGITS = LOGITS.astype(np.float32)


def example_losses(labels, logits):
    return keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )


def value(identifier):
    """The reward of all images; the metric's own state must not change."""
    reward = rewards.Reward(identifier)
    reward.build(4, example_losses)
    reward.metric.update_state(LABELS[:7], LOGITS[:7])
    before = float(reward.metric.result())
    result = reward.evaluate(tf.constant(LABELS), tf.constant(LOGITS))
    assert float(reward.metric.result()) == before
    return float(result)


def test_accuracies_and_loss():
    predicted = LOGITS.argmax(axis=1)
    assert value("accuracy") == pytest.approx((predicted == LABELS).mean())
    balanced = balanced_accuracy_score(LABELS, predicted)
    assert value("mean_per_class_accuracy") == pytest.approx(balanced)
    loss = np.mean(example_losses(LABELS, LOGITS))
    assert value("negative_loss") == pytest.approx(-loss, abs=1e-5)


def test_auc_is_the_mean_of_each_class_against_the_rest():
    probabilities = keras.ops.softmax(LOGITS)
    areas = [
        roc_auc_score(c == LABELS, np.asarray(probabilities)[:, c])
        for c in range(4)
    ]
    assert value("auc") == pytest.approx(np.mean(areas), abs=0.01)


def test_any_keras_metric():
    metric = keras.metrics.SparseTopKCategoricalAccuracy(k=2)
    assert rewards.reward_metric(metric, 4, example_losses) is metric
    assert 0.5 < value(metric) < 1


@pytest.mark.parametrize(
    "metric", [rewards.MeanPerClassAccuracy(4), rewards.SparseAUC(4)]
)
def test_metrics_round_trip(metric):
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    again.update_state(LABELS, LOGITS)
    metric.reset_state()
    metric.update_state(LABELS, LOGITS)
    assert float(again.result()) == float(metric.result()) > 0.25


def test_auc_ignores_classes_that_do_not_occur():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60)  # of six
    logits = rng.normal(size=(60, 6)) + 1.5 * np.eye(6)[labels]
    probabilities = scipy.special.softmax(logits, axis=1)
    expected = np.mean(
        [roc_auc_score(labels == c, probabilities[:, c]) for c in range(4)]
    )
    metric = rewards.SparseAUC(6)
    metric.update_state(labels, logits)
    assert float(metric.result()) == pytest.approx(expected, abs=0.01)
    alone = rewards.SparseAUC(2)
    alone.update_state(np.ones(3, int), np.eye(2)[[0, 1, 1]])
    assert float(alone.result()) == 0


def test_mean_accuracy_ignores_classes_that_do_not_occur():
    metric = rewards.MeanPerClassAccuracy(5)
    metric.update_state([0, 0, 1], np.eye(5)[[0, 1, 1]])
    assert float(metric.result()) == pytest.approx((0.5 + 1) / 2)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (rewards.MeanPerClassAccuracy(2), (0.75 + 1) / 2),
        # The first image, of weight 3, is on the right side of the last.
        (rewards.SparseAUC(2), 0.75),
    ],
)
def test_sample_weights_count(metric, expected):
    probabilities = [[0.9, 0.1], [0.3, 0.7], [0.45, 0.55]]
    metric.update_state([0, 0, 1], np.log(probabilities), [3.0, 1.0, 1.0])
    assert float(metric.result()) == pytest.approx(expected, abs=0.01)


def test_refuses_an_unknown_name():
    with pytest.raises(
        InputError, match=r"negative_loss\. Received: reward='f1'"
    ):
        rewards.reward_metric("f1", 4, example_losses)


def test_bfloat16_as_the_default_float_counts_beyond_256(default_float):
    default_float("bfloat16")
    metric = rewards.MeanPerClassAccuracy(2)
    logits = tf.constant([[1.0, 0.0]] * 300 + [[0.0, 1.0]] * 100)
    metric.update_state(tf.zeros(400, tf.int32), logits)
    assert float(metric.result()) == pytest.approx(0.75, abs=1e-6)
