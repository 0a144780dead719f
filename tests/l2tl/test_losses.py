import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.l2tl import losses


def gradient(function, value):
    value = tf.constant(value)
    with tf.GradientTape() as tape:
        tape.watch(value)
        result = function(value)
    return tape.gradient(result, value).numpy()


def test_weighted_mean_by_hand_and_without_weights():
    values = tf.constant([1.0, 5.0, 9.0])
    weights = tf.constant([3.0, 1.0, 0.0])
    assert float(losses.weighted_mean(values, weights)) == 2
    assert float(losses.weighted_mean(values, weights, total=8.0)) == 1
    zero = gradient(lambda v: losses.weighted_mean(v, 0 * weights), [1.0] * 3)
    np.testing.assert_array_equal(zero, 0)


@pytest.mark.parametrize("advantage", [2.0, -0.5])
def test_policy_gradient_by_hand(advantage):
    """The score of action k is one_hot(k) - probabilities."""
    logits = np.log([0.2, 0.3, 0.5]).astype(np.float32)

    def loss(value):
        log_prob = tf.nn.log_softmax(value)[1]
        return losses.policy_gradient_loss(log_prob, tf.constant(advantage))

    expected = -advantage * (np.array([0, 1, 0]) - [0.2, 0.3, 0.5])
    np.testing.assert_allclose(gradient(loss, logits), expected, atol=1e-6)


def test_log_odds_by_hand():
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    odds = losses.log_odds(tf.constant([0, 1]), tf.constant(np.log(probs)))
    np.testing.assert_allclose(odds, np.log([7 / 3, 1 / 9]), atol=1e-5)


def test_related_loss_by_hand():
    """Cross-entropy to soft labels, times 1 - entropy / log(classes)."""
    shares = [[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3, [0.7, 0.2, 0.1]]
    probs = np.array([0.5, 0.3, 0.2], np.float32)
    loss = losses.related_loss(
        tf.constant(shares, tf.float32), tf.constant([np.log(probs)] * 4)
    )
    last = np.array([0.7, 0.2, 0.1])
    certainty = 1 + last @ np.log(last) / np.log(3)
    expected = [
        -np.log(0.5),
        (1 - np.log(2) / np.log(3)) * -np.log([0.5, 0.3]).mean(),
        0,
        certainty * -last @ np.log(probs),
    ]
    np.testing.assert_allclose(loss, expected, atol=1e-6)


def test_related_loss_pulls_towards_certain_shares_more():
    """Its gradient is certainty times (probabilities less shares)."""
    shares = np.array([[0.9, 0.1], [0.5, 0.5], [0.0, 0.0]], np.float32)
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2)

    def loss(logits):
        return tf.reduce_sum(losses.related_loss(tf.constant(shares), logits))

    result = gradient(loss, np.zeros((3, 2), np.float32))
    expected = (1 - entropy) * np.array([[-0.4, 0.4], [0, 0], [0, 0]])
    np.testing.assert_allclose(result[:2], expected[:2], atol=1e-6)
    assert np.isfinite(result).all()


def test_related_loss_of_a_single_class_is_zero():
    loss = losses.related_loss(tf.ones([2, 1]), tf.constant([[3.0], [-1.0]]))
    np.testing.assert_array_equal(loss, np.zeros(2))


def test_feature_effects_by_hand():
    z = np.array([[1.0, 0.0, 0.0]], np.float32)
    g = np.array([[0.0, 2.0, 0.0]], np.float32)
    along = g + 5 * z  # 5 * z only makes the prediction more confident
    same = losses.feature_effects((2 * z, along), (3 * z, 9 * g))
    np.testing.assert_allclose(same, [[1.0]], atol=1e-5)
    same = losses.feature_effects((z, g), (z, along))
    np.testing.assert_allclose(same, [[1.0]], atol=1e-5)
    against = losses.feature_effects((z, g), (z, -g))
    np.testing.assert_allclose(against, [[-1.0]], atol=1e-5)
    other = np.array([[0.0, 0.0, 1.0]], np.float32)
    unlike = losses.feature_effects((z, g), (other, g), sharpness=10.0)
    np.testing.assert_allclose(unlike, [[np.exp(-10)]], atol=1e-7)
    ignored = losses.feature_effects((z, g), (other, g), sharpness=0.0)
    np.testing.assert_allclose(ignored, [[1.0]], atol=1e-5)


def test_feature_effects_of_zero_features_and_gradients_are_zero():
    zero = np.zeros((2, 3), np.float32)
    effects = losses.feature_effects((zero, zero), (zero, zero))
    np.testing.assert_array_equal(effects, np.zeros((2, 2)))
