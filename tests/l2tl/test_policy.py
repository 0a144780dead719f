import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.errors import InputError


def draw_levels(policy, steps):
    """The levels of the classes, one row per step."""
    return np.array([policy.draw(step).levels[1:] for step in range(steps)])


def set_logits(policy, probs):
    logits = np.array(policy.logits)
    logits[1:] = np.log(probs)
    policy.logits.assign(logits)


def test_a_flat_policy_draws_every_level_equally_often():
    levels = draw_levels(tt.WeightPolicy(40, levels=5), 100)
    counts = np.bincount(levels.ravel(), minlength=5)
    chi_squared = ((counts - 800) ** 2 / 800).sum()
    assert chi_squared < 18.5  # the .999 quantile with 4 degrees


def test_draws_follow_the_probabilities():
    policy = tt.WeightPolicy(301, levels=3)
    probs = np.tile([0.5, 0.3, 0.2], (301, 1))
    probs[300] = [1e-9, 1.0, 1e-9]
    set_logits(policy, probs)
    levels = draw_levels(policy, 20)
    shares = np.bincount(levels[:, :300].ravel(), minlength=3) / 6000
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.025)
    assert set(levels[:, 300]) == {1}


def test_draws_repeat_by_seed_and_step_also_compiled():
    policy = tt.WeightPolicy(50, levels=4, seed=3)
    first = policy.draw(7)
    for function in (policy.draw, tf.function(policy.draw, jit_compile=True)):
        again = function(tf.constant(7))
        np.testing.assert_array_equal(first.weights, again.weights)
        assert float(first.scale) == float(again.scale)
    other = tt.WeightPolicy(50, levels=4, seed=4).draw(7)
    assert (first.levels != other.levels).numpy().any()
    later = policy.draw(8)
    assert (first.levels != later.levels).numpy().any()


@pytest.mark.parametrize(
    "policy",
    [
        tt.WeightPolicy(50, levels=7, start=np.arange(50), seed=2),
        tt.FixedPolicy(50, np.arange(50.0)),
    ],
)
def test_the_classes_of_a_batch_get_the_actions_that_all_would(policy):
    classes = tf.constant([7, 0, 49, 7])
    every, some = policy.draw(3), policy.draw(3, classes)
    np.testing.assert_array_equal(
        some.weights, every.weights.numpy()[classes.numpy()]
    )
    assert float(some.scale) == float(every.scale)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"in \[0, 50\)"):
        policy.draw(3, tf.constant([50]))


def test_weights_are_the_levels_from_zero_to_one():
    policy = tt.WeightPolicy(60, levels=3)
    actions = policy.draw(0)
    assert set(actions.weights.numpy()) == {0.0, 0.5, 1.0}
    of_scale, *of_classes = policy.levels[actions.levels]
    assert float(actions.scale) == of_scale
    np.testing.assert_array_equal(actions.weights, of_classes)
    np.testing.assert_allclose(policy.expected_weights(), np.full(60, 0.5))
    assert float(policy.expected_scale()) == pytest.approx(0.5)


def test_entropy_and_bonus_by_hand():
    probs = np.array([[0.8, 0.2], [0.5, 0.5], [0.9, 0.1]])  # scale first
    policy = tt.WeightPolicy(2, levels=2, entropy=0.3)
    assert float(policy.bonus()) == 0
    policy.logits.assign(np.log(probs))
    entropy = -(probs * np.log(probs)).sum(axis=1)
    assert float(policy.mean_entropy()) == pytest.approx(entropy[1:].mean())
    expected = 0.3 * (entropy - np.log(2)).sum()
    assert float(policy.bonus()) == pytest.approx(expected, abs=1e-6)


def test_expected_credit_is_the_mean_of_the_sampled_gradient():
    """REINFORCE with one advantage per row, averaged over all actions."""
    rng = np.random.default_rng(0)
    policy = tt.WeightPolicy(2, levels=3)
    probs = rng.dirichlet([1, 1, 1], 2)
    set_logits(policy, probs)
    credit = np.array([-0.7, 1.5], np.float32)
    mean = np.zeros((2, 3))
    for actions in itertools.product(range(3), repeat=2):
        chance = probs[0, actions[0]] * probs[1, actions[1]]
        for row, k in enumerate(actions):
            score = np.eye(3)[k] - probs[row]
            mean[row] += chance * credit[row] * policy.levels[k] * score
    (variable,) = policy.trainable_variables
    with tf.GradientTape() as tape:
        total = policy.expected_credit(tf.constant(credit), tf.constant(0.0))
    gradient = tape.gradient(total, variable.value)
    np.testing.assert_allclose(gradient[1:], mean, atol=1e-6)


def test_no_gradient_flows_through_the_credit():
    policy = tt.WeightPolicy(2, levels=3)
    (variable,) = policy.trainable_variables
    with tf.GradientTape() as tape:
        credit = policy.expected_weights()  # .5, to be taken as a constant
        total = policy.expected_credit(credit, tf.constant(2.0))
    gradient = tape.gradient(total, variable.value)
    # The mean rises with the logit of a level by p * (level - mean).
    slopes = np.array([-0.5, 0, 0.5]) / 3
    expected = np.outer([2, 0.5, 0.5], slopes)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_credit_and_bonus_are_in_balance_at_the_tilted_start():
    """The documented maximum: the start times exp(credit * level / entropy)."""
    policy = tt.WeightPolicy(1, levels=3, entropy=0.5)
    set_logits(policy, np.exp([0.8 * policy.levels / 0.5]))
    variables = [v.value for v in policy.trainable_variables]
    with tf.GradientTape() as tape:
        credit = policy.expected_credit(tf.constant([0.8]), tf.constant(0.0))
        value = credit + policy.bonus()
    for gradient in tape.gradient(value, variables):
        np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=1e-6)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_an_advantage_changes_the_probability_of_its_action(advantage):
    policy = tt.WeightPolicy(3, levels=4)
    actions = policy.draw(0)
    present = tf.constant([True, True, False])
    before = policy.log_probs(actions.levels, present)
    optimizer = keras.optimizers.SGD(0.1)
    with tf.GradientTape() as tape:
        log_probs = policy.log_probs(actions.levels, present)
        loss = -advantage * tf.reduce_sum(log_probs)
    variables = policy.trainable_variables
    optimizer.apply(
        tape.gradient(loss, [v.value for v in variables]), variables
    )
    change = policy.log_probs(actions.levels, present) - before
    assert (np.sign(change)[:3] == advantage).all()
    np.testing.assert_allclose(policy.logits[3], 0)


def test_expected_weights_are_proportional_to_the_start():
    start = np.array([4.0, 2.0, 1.0, 0.0])
    policy = tt.WeightPolicy(4, levels=11, start=start)
    weights = policy.expected_weights().numpy()
    np.testing.assert_allclose(weights, [0.98, 0.5, 0.25, 0.02], atol=1e-3)
    assert float(policy.bonus()) == 0
    policy.restart()
    assert policy.get_config()["start"] is None
    np.testing.assert_allclose(policy.expected_weights(), [0.5] * 4, atol=1e-6)


def test_a_fixed_policy_returns_its_weights():
    policy = tt.FixedPolicy(3, [1.0, 0.0, 2.0], scale=0.5)
    actions = policy.draw(5)
    np.testing.assert_array_equal(actions.weights, [1, 0, 2])
    assert float(actions.scale) == 0.5
    assert policy.trainable_variables == []
    policy.assign([3.0, 3.0, 3.0])
    np.testing.assert_array_equal(policy.expected_weights(), [3, 3, 3])
    assert float(policy.expected_scale()) == 1


@pytest.mark.parametrize(
    "policy",
    [
        tt.WeightPolicy(3, 5, entropy=0.2, start=[1, 2, 3], seed=9),
        tt.FixedPolicy(3, [1.0, 0.0, 2.0], scale=0.5),
    ],
)
def test_config_round_trip(policy):
    again = type(policy).from_config(policy.get_config())
    assert again.get_config() == policy.get_config()
    one, other = policy.draw(1), again.draw(1)
    np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_source_classes": 0}, "positive integer"),
        ({"levels": 1}, "at least 2"),
        ({"entropy": -1.0}, "`entropy`"),
        ({"start": [1.0, 2.0]}, "one weight per source class, 3"),
        ({"start": [1.0, -2.0, 0.0]}, "not negative"),
        ({"start": [1.0, float("nan"), 0.0]}, "finite"),
    ],
)
def test_weight_policy_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        tt.WeightPolicy(**{"num_source_classes": 3} | arguments)


def test_fixed_policy_refuses():
    with pytest.raises(InputError, match="`scale`"):
        tt.FixedPolicy(2, scale=-1)
    with pytest.raises(InputError, match="one weight per source class"):
        tt.FixedPolicy(2, [1.0])
