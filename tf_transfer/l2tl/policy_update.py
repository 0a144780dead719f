"""An optimizer step on the policy of L2TL."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.l2tl.credits.base import Credit
from tf_transfer.l2tl.policy import WeightPolicy
from tf_transfer.training.distribution import num_replicas

COMPILED_FROM = 2**14
"""Compiling with XLA takes a second; from so many logits on it pays."""


def update_policy(
    policy: WeightPolicy,
    optimizer: keras.optimizers.Optimizer,
    credit: Credit,
    active: tf.Tensor,
    signals: tuple[tf.Tensor, ...],
) -> tf.Tensor:
    """Takes one step by the credit and the entropy bonus.

    It takes O(classes * levels) time. In a graph and without a strategy, XLA
    makes a few passes over classes and levels of some thirty.

    Args:
        policy: what learns.
        optimizer: of it.
        credit: gives the loss.
        active: 1, or 0 while the policy is frozen.
        signals: what the credit has observed in the training step.

    Returns:
        The mean entropy of the policy before the step, in nats.
    """
    update = functools.partial(_update, policy, optimizer, credit)
    if (
        np.prod(policy.logits.shape) >= COMPILED_FROM
        and not tf.executing_eagerly()
        and not tf.distribute.has_strategy()
    ):
        update = tf.function(update, jit_compile=True)
    return update(active, *signals)


def _update(policy, optimizer, credit, active, *signals) -> tf.Tensor:
    variables = policy.trainable_variables
    entropy = policy.mean_entropy()
    with tf.GradientTape() as tape:
        loss = credit.policy_loss(policy, *signals) - policy.bonus()
        loss = optimizer.scale_loss(loss)
    gradients = tape.gradient(loss, [v.value for v in variables])
    # The optimizer adds up the gradients of the replicas, which are equal.
    share = active / num_replicas()
    before = [tf.identity(v.value) for v in variables]
    optimizer.apply([g * share for g in gradients], variables)
    for variable, frozen in zip(variables, before, strict=True):
        # Weight decay moves a variable without a gradient, too.
        variable.assign(tf.where(active > 0, variable.value, frozen))
    return entropy
