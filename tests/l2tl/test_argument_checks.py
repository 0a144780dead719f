"""Settings of `compile` that would not do what they say are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import dense_l2tl, fit_l2tl
from tf_transfer.errors import InputError
from tf_transfer.l2tl import argument_checks

FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Likelihood(keras.losses.Loss):
    """Of probabilities, without `from_logits`."""

    def call(self, y_true, y_pred):
        chosen = tf.gather(y_pred, y_true, batch_dims=1)
        return -tf.math.log(tf.clip_by_value(chosen, 1e-7, 1.0))


class Margin(keras.losses.Loss):
    """Of logits, without `from_logits`."""

    def call(self, y_true, y_pred):
        return -tf.gather(y_pred, y_true, batch_dims=1)


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.BinaryFocalCrossentropy(),
        Likelihood(),
    ],
)
def test_a_loss_of_probabilities_is_refused(loss):
    with pytest.raises(InputError, match="`loss` must take logits"):
        argument_checks.check_loss(loss, 3)


@pytest.mark.parametrize("loss", [FROM_LOGITS, Margin()])
def test_a_loss_of_logits_is_accepted(loss):
    argument_checks.check_loss(loss, 3)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"loss_weights": [2.0]}, "`loss_weights` has no effect"),
        ({"loss": "SparseCategoricalCrossentropy"}, "must take logits"),
        (
            {
                "loss": keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True, reduction="sum"
                )
            },
            "must be a mean over the batch",
        ),
        (
            {"policy_optimizer": keras.optimizers.Adam(use_ema=True)},
            "`ema_overwrite_frequency`",
        ),
    ],
)
def test_compile_refuses_what_would_be_ignored(settings, sentence):
    model = dense_l2tl()
    with pytest.raises(InputError, match=sentence):
        model.compile("sgd", **settings)


def learned_logits(policy_optimizer, **settings):
    model = dense_l2tl(policy_optimizer=policy_optimizer, **settings)
    model.policy.restart([8, 4, 2, 1, 1, 1, 1, 1])
    start = np.array(model.policy.logits)
    fit_l2tl(model, steps_per_epoch=3)
    return start, np.array(model.policy.logits)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.AdamW(0.1, weight_decay=0.1),
        keras.optimizers.SGD(0.1, weight_decay=0.1),
        keras.optimizers.Lion(0.1, weight_decay=0.1),
    ],
)
def test_weight_decay_leaves_the_policy_alone_in_the_warm_up(optimizer):
    start, end = learned_logits(optimizer, policy_warmup=3)
    np.testing.assert_array_equal(end, start)


@pytest.mark.parametrize(
    "scaled",
    [
        keras.optimizers.SGD(0.1, loss_scale_factor=1024.0),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    ],
)
def test_a_loss_scale_leaves_the_step_of_the_policy_as_it_is(scaled):
    start, plain = learned_logits(keras.optimizers.SGD(0.1))
    _, end = learned_logits(scaled)
    assert np.abs(plain - start).max() > 1e-3
    np.testing.assert_allclose(end, plain, atol=1e-5)
