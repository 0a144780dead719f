import tensorflow as tf

import tf_transfer as tt
from tf_transfer.l2tl import types


def test_a_fixed_policy_has_actions_without_levels():
    actions = tt.FixedPolicy(3).draw(0)
    assert isinstance(actions, types.Actions)
    assert actions.levels is None


def test_a_transition_passes_through_a_tf_function():
    batch = types.Batch(
        tf.zeros((2, 4)), tf.zeros(2, tf.int32), tf.ones((2, 3))
    )
    actions = types.Actions(tf.ones(3), tf.constant(0.5))
    labels = tf.zeros(4, tf.int32)
    again = tf.function(lambda transition: transition)(
        types.Transition(
            actions,
            candidates=labels,
            source=batch,
            source_gradients=batch.features,
            validation=batch,
            reward=tf.constant(0.25),
        )
    )
    assert isinstance(again, types.Transition)
    assert again.source.features.shape == (2, 3)
    assert float(again.actions.scale) == 0.5
