import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.l2tl.types import Batch


def test_reinforce_compares_with_the_rewards_before():
    """Fault 3 of the released code: its baseline held the reward itself."""
    model = helpers.l2tl_model(tt.Reinforce(decay=0.5))
    advantage = model.credit._advantage
    advantages = [
        float(advantage(tf.constant(r), helpers.ACTIVE))
        for r in (1.0, 0.0, 1.0)
    ]
    # Means before: none, 1, (.5 * .5 + .5 * 0) / .75 = 1/3, deviation .4714.
    assert advantages[0] == 0
    assert advantages[1] == -3  # no deviation yet: bounded
    assert advantages[2] == pytest.approx(
        (1 - 1 / 3) / np.sqrt(2 / 9), abs=1e-4
    )
    # And after it: (1/3 * .75 / 2 + .5) / .875.
    assert float(model.credit.baseline()) == pytest.approx(5 / 7)


def test_reinforce_moves_only_classes_of_the_batch_and_by_the_sign():
    model = helpers.l2tl_model("reinforce")
    transition = helpers.transition(model)
    # Candidates of three classes, of which one is trained on.
    few = transition._replace(
        candidates=transition.candidates[:3],
        source=Batch(*(part[:1] for part in transition.source)),
    )
    (variable,) = model.policy.trainable_variables
    for reward, sign in ((0.0, 0), (1.0, 1)):
        few = few._replace(reward=tf.constant(reward))
        signals = model.credit.observe(model, few, helpers.ACTIVE)
        with tf.GradientTape() as tape:
            loss = model.credit.policy_loss(model.policy, *signals)
        gradient = tape.gradient(loss, variable.value).numpy()
        levels = signals[0].numpy()  # that of the scale first
        assert (np.sign(-gradient[range(4), levels[:4]]) == sign).all()
        np.testing.assert_array_equal(gradient[4:], 0)
