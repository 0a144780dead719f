"""The two phases of a step: on the model, and on the policy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests.l2tl.test_model import (
    SOURCE,
    TARGET,
    VALIDATION,
    equal,
    fit,
    make,
    slow,
    streams,
    values,
)
from tf_transfer.errors import InputError


@pytest.mark.parametrize(
    "credit", ["feature", slow("reinforce"), slow("gradient")]
)
def test_each_phase_leaves_the_others_variables_alone(credit):
    """Fixed policy in the first phase, fixed model in the second."""
    model = make(policy_optimizer=keras.optimizers.Adam(0.0), credit=credit)
    policy = values(model.policy.variables)
    weights = values(model.model_variables())
    fit(model)
    assert equal(policy, values(model.policy.variables))
    assert not equal(weights, values(model.model_variables()))

    model = make(optimizer=keras.optimizers.SGD(0.0), credit=credit)
    policy = values(model.policy.trainable_variables)
    weights = values(model.model_variables())
    fit(model)
    assert equal(weights, values(model.model_variables()))
    assert not equal(policy, values(model.policy.trainable_variables))


def test_it_trains_on_after_compiling_again_with_the_policy_frozen():
    model = make()
    logs = fit(model)
    model.policy.trainable = False
    model.compile("sgd", metrics=["accuracy"])
    policy = values(model.policy.variables)
    again = fit(model)
    assert equal(policy, values(model.policy.variables))
    assert set(logs) - set(again) == {"policy_entropy", "reward"}


def test_warm_up_leaves_the_policy_and_its_credit_alone():
    model = make(policy_warmup=10)
    policy = values(model.policy.variables)
    credit = values(model.credit.variables)
    fit(model)
    assert int(model.steps_taken) == 10
    for before, part in (policy, model.policy), (credit, model.credit):
        assert equal(before, values(part.variables))
    model.train_step(next(iter(streams())))
    for before, part in (policy, model.policy), (credit, model.credit):
        assert not equal(before, values(part.variables))


def test_the_entropy_bonus_draws_the_policy_back_to_its_start():
    model = make(
        policy=tt.WeightPolicy(8, entropy=10.0),
        policy_optimizer=keras.optimizers.SGD(0.01),
    )
    logits = np.zeros((9, 11))
    logits[:, -1] = 2
    model.policy.logits.assign(logits)
    before = float(model.policy.bonus())
    fit(model)
    assert 0.75 * before < float(model.policy.bonus()) < 0


def test_a_step_that_changes_nothing_is_no_improvement():
    model = make(optimizer=keras.optimizers.SGD(0.0), improvement=True)
    assert fit(model)["reward"] == [0]


def test_the_scale_weighs_the_source_loss():
    logs = fit(make(policy=tt.FixedPolicy(8, scale=0.25)))
    expected = 0.25 * logs["source_loss"][0] + logs["target_loss"][0]
    assert logs["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_weights_of_zero_everywhere_train_the_target_alone():
    model = make(policy=tt.FixedPolicy(8, np.zeros(8)))
    head = model.source_head.get_weights()
    history = fit(model, epochs=2)
    assert equal(head, model.source_head.get_weights())
    assert history["target_loss"][1] < history["target_loss"][0]


def test_the_candidates_with_the_largest_weights_are_kept():
    """Classes 0 and 1 fill the kept half; 2 fills the ties at random."""
    policy = tt.FixedPolicy(8, [1, 1, 0.5, 0.5, 0, 0, 0, 0])
    model = make(policy=policy, oversample=4)
    images, labels = next(iter(SOURCE.batches(32)))
    kept = set()
    for step in range(6):
        model.steps_taken.assign(step)
        (pictures, found), weights = model._select(
            (images, labels), policy.draw(0)
        )
        assert sorted(found.numpy()) == [0] * 4 + [1] * 4
        np.testing.assert_array_equal(weights, 1)
    policy.assign([1, 0.5, 0.5, 0, 0, 0, 0, 0])
    for step in range(6):
        model.steps_taken.assign(step)
        (pictures, found), weights = model._select(
            (images, labels), policy.draw(0)
        )
        assert sorted(weights.numpy()) == [0.5] * 4 + [1] * 4
        kept.add(tuple(sorted(found.numpy())))
        assert len(pictures) == 8
    assert len(kept) > 1


def test_ties_are_broken_by_the_seed_that_the_config_keeps():
    batch = next(iter(SOURCE.batches(32)))
    found = []
    for seed in (0, 1):
        policy = tt.FixedPolicy(8)
        model = make(policy=policy, oversample=4, seed=seed)
        again = tt.L2TL.from_config(model.get_config())
        (images, _), _ = model._select(batch, policy.draw(0))
        (same, _), _ = again._select(batch, policy.draw(0))
        np.testing.assert_array_equal(images, same)
        found.append(images.numpy())
    assert (found[0] != found[1]).any()


def test_oversampling_trains_on_what_is_kept():
    model = make(oversample=2)
    data = tt.streams(
        SOURCE.batches(1).unbatch().batch(16, drop_remainder=True).repeat(),
        TARGET.batches(8),
        VALIDATION.batches(16),
    )
    history = fit(model, data, epochs=2, steps_per_epoch=10)
    assert np.isfinite(history["loss"]).all()
    assert int(model.steps_taken) == 20
    ragged = tt.streams(
        SOURCE.take(np.arange(20)).batches(16), TARGET.batches(8)
    )
    policy = tt.FixedPolicy(8)
    with pytest.raises(InputError, match="must have a fixed size"):
        fit(make(policy=policy, oversample=2), ragged)


def test_the_credit_sees_the_candidates_and_what_is_kept_of_them():
    model = make(oversample=2)
    shown = []
    model._policy_phase = shown.append
    batch = next(iter(streams()))
    model.train_step(batch)
    (evidence,) = shown
    np.testing.assert_array_equal(evidence.candidates, batch["source"][1])
    assert evidence.source.labels.shape == (8,)


class Modes(keras.layers.Layer):
    """Counts calls in training and in inference mode while tracing."""

    def call(self, inputs, training=None):
        self.seen.append(training)
        return inputs


def test_dropout_and_normalisation_are_off_outside_the_model_phase():
    """Source and target are trained on; the reward and the credit look."""
    modes = Modes()
    modes.seen = []
    images = keras.Input((8, 8, 1))
    body = keras.layers.BatchNormalization()(keras.layers.Flatten()(images))
    encoder = keras.Model(images, keras.layers.Dropout(0.5)(modes(body)))
    model = make(encoder=encoder, credit="gradient", improvement=True)
    modes.seen.clear()
    tf.function(model.train_step).get_concrete_function(next(iter(streams())))
    # Before: reward. Phase 1: source, target. Phase 2: reward and credit look
    # at the validation images together; the credit, at the source images.
    assert modes.seen[-5:] == [False, True, True, False, False]
    statistics = values(encoder.non_trainable_variables)
    fit(model)
    assert not equal(statistics, values(encoder.non_trainable_variables))
