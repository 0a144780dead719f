import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.l2tl import policy_update
from tf_transfer.l2tl.credits import lookup
from tf_transfer.l2tl.policy_update import update_policy

RNG = np.random.default_rng(0)


class FixedLoss(keras.layers.Layer):
    """A credit whose loss is linear in the logits."""

    def policy_loss(self, policy, slopes):
        return tf.reduce_sum(policy.logits.value * slopes)


def test_it_is_a_step_of_the_optimizer_by_hand():
    """The bonus has no gradient at the start."""
    policy = tt.WeightPolicy(2, levels=3)
    slopes = RNG.normal(size=(3, 3)).astype(np.float32)
    optimizer = keras.optimizers.SGD(0.5, weight_decay=0.1)
    for active, expected in ((0.0, 0 * slopes), (1.0, -0.5 * slopes)):
        entropy = update_policy(
            policy, optimizer, FixedLoss(), tf.constant(active), (slopes,)
        )
        np.testing.assert_allclose(policy.logits, expected, atol=1e-6)
        assert float(entropy) == pytest.approx(np.log(3))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("name", sorted(lookup.CREDITS))
def test_compiled_it_is_the_same(name, optimizer, monkeypatch):
    """With XLA, in a graph, and step by step; also the entropy."""
    found, compiled, function = [], [], tf.function

    def watched(traced=None, **settings):
        if getattr(traced, "func", None) is policy_update._update:
            compiled.append(settings)
        return function(traced, **settings)

    monkeypatch.setattr(policy_update.tf, "function", watched)
    for mode in ("compiled", "graph", "eager"):
        least = 0 if mode == "compiled" else np.inf
        monkeypatch.setattr(policy_update, "COMPILED_FROM", least)
        keras.utils.set_random_seed(0)
        model = helpers.l2tl_model(name)
        transition = helpers.transition(model)
        policy_optimizer = keras.optimizers.get(optimizer)
        policy_optimizer.build(model.policy.trainable_variables)
        model.policy.logits.assign(
            np.random.default_rng(1).normal(size=model.policy.logits.shape)
        )

        def step(model=model, transition=transition, own=policy_optimizer):
            signals = model.credit.observe(model, transition, helpers.ACTIVE)
            return update_policy(
                model.policy, own, model.credit, helpers.ACTIVE, signals
            )

        if mode != "eager":
            step = function(step)
        entropies = [float(step()) for _ in range(3)]
        found.append((np.array(model.policy.logits), entropies))
    assert compiled == [{"jit_compile": True}]
    for logits, entropies in found[1:]:
        np.testing.assert_allclose(logits, found[0][0], atol=1e-5)
        np.testing.assert_allclose(entropies, found[0][1], rtol=1e-5)
