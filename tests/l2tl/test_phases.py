"""The two phases of a step: on the model, and on the policy."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests.helpers import (
    SOURCE,
    TARGET,
    VALIDATION,
    arrays,
    dense_l2tl,
    equal_states,
    fit_l2tl,
    l2tl_streams,
)
from tf_transfer.errors import InputError

slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "credit", ["feature", slow("reinforce"), slow("gradient")]
)
@pytest.mark.slow
def test_each_phase_leaves_the_others_variables_alone(credit):
    """Fixed policy in the first phase, fixed model in the second."""
    model = dense_l2tl(
        policy_optimizer=keras.optimizers.Adam(0.0), credit=credit
    )
    policy = arrays(model.policy.variables)
    weights = arrays(model.model_variables())
    fit_l2tl(model)
    assert equal_states(policy, arrays(model.policy.variables))
    assert not equal_states(weights, arrays(model.model_variables()))

    model = dense_l2tl(optimizer=keras.optimizers.SGD(0.0), credit=credit)
    policy = arrays(model.policy.trainable_variables)
    weights = arrays(model.model_variables())
    fit_l2tl(model)
    assert equal_states(weights, arrays(model.model_variables()))
    assert not equal_states(policy, arrays(model.policy.trainable_variables))


def test_a_model_compiled_again_with_its_policy_frozen_trains_on():
    model = dense_l2tl()
    logs = fit_l2tl(model)
    model.policy.trainable = False
    model.compile("sgd", metrics=["accuracy"])
    policy = arrays(model.policy.variables)
    again = fit_l2tl(model)
    assert equal_states(policy, arrays(model.policy.variables))
    assert set(logs) - set(again) == {"policy_entropy", "reward"}


def test_warm_up_leaves_the_policy_and_its_credit_alone():
    model = dense_l2tl(policy_warmup=10)
    policy = arrays(model.policy.variables)
    credit = arrays(model.credit.variables)
    fit_l2tl(model)
    assert int(model.steps_taken) == 10
    for before, part in (policy, model.policy), (credit, model.credit):
        assert equal_states(before, arrays(part.variables))
    model.train_step(next(iter(l2tl_streams())))
    for before, part in (policy, model.policy), (credit, model.credit):
        assert not equal_states(before, arrays(part.variables))


def test_the_entropy_bonus_pulls_the_policy_back_to_its_start():
    model = dense_l2tl(
        policy=tt.WeightPolicy(8, entropy=10.0),
        policy_optimizer=keras.optimizers.SGD(0.01),
    )
    logits = np.zeros((9, 11))
    logits[:, -1] = 2
    model.policy.logits.assign(logits)
    before = float(model.policy.bonus())
    fit_l2tl(model)
    assert 0.75 * before < float(model.policy.bonus()) < 0


def test_a_step_that_changes_nothing_is_no_improvement():
    model = dense_l2tl(optimizer=keras.optimizers.SGD(0.0), improvement=True)
    assert fit_l2tl(model)["reward"] == [0]


def test_the_scale_weighs_the_source_loss():
    logs = fit_l2tl(dense_l2tl(policy=tt.FixedPolicy(8, scale=0.25)))
    expected = 0.25 * logs["source_loss"][0] + logs["target_loss"][0]
    assert logs["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_weights_of_zero_everywhere_train_the_target_alone():
    model = dense_l2tl(policy=tt.FixedPolicy(8, np.zeros(8)))
    head = model.source_head.get_weights()
    history = fit_l2tl(model, epochs=2)
    assert equal_states(head, model.source_head.get_weights())
    assert history["target_loss"][1] < history["target_loss"][0]


def test_the_candidates_with_the_largest_weights_are_selected():
    """Classes 0 and 1 fill the batch; later, ties are drawn at random."""
    policy = tt.FixedPolicy(8, [1, 1, 0.5, 0.5, 0, 0, 0, 0])
    model = dense_l2tl(policy=policy, oversample=4)
    batch = next(iter(SOURCE.batches(32)))
    selections = set()
    for step in range(6):
        model.steps_taken.assign(step)
        (_, selected), weights = model._select(batch, policy.draw(0, batch[1]))
        assert sorted(selected.numpy()) == [0] * 4 + [1] * 4
        np.testing.assert_array_equal(weights, 1)
    policy.assign([1, 0.5, 0.5, 0, 0, 0, 0, 0])
    for step in range(6):
        model.steps_taken.assign(step)
        (images, selected), weights = model._select(
            batch, policy.draw(0, batch[1])
        )
        assert sorted(weights.numpy()) == [0.5] * 4 + [1] * 4
        selections.add(tuple(sorted(selected.numpy())))
        assert len(images) == 8
    assert len(selections) > 1


def test_ties_are_broken_by_the_seed_of_the_config():
    batch = next(iter(SOURCE.batches(32)))
    selections = []
    for seed in (0, 1):
        policy = tt.FixedPolicy(8)
        model = dense_l2tl(policy=policy, oversample=4, seed=seed)
        again = tt.L2TL.from_config(model.get_config())
        (images, _), _ = model._select(batch, policy.draw(0, batch[1]))
        (same, _), _ = again._select(batch, policy.draw(0, batch[1]))
        np.testing.assert_array_equal(images, same)
        selections.append(images.numpy())
    assert (selections[0] != selections[1]).any()


def test_oversampling_trains_on_the_selected_examples():
    model = dense_l2tl(oversample=2)
    data = tt.streams(
        SOURCE.batches(1).unbatch().batch(16, drop_remainder=True).repeat(),
        TARGET.batches(8),
        VALIDATION.batches(16),
    )
    history = fit_l2tl(model, data, epochs=2, steps_per_epoch=10)
    assert np.isfinite(history["loss"]).all()
    assert int(model.steps_taken) == 20
    ragged = tt.streams(
        SOURCE.take(np.arange(20)).batches(16), TARGET.batches(8)
    )
    policy = tt.FixedPolicy(8)
    with pytest.raises(InputError, match="must have a fixed size"):
        fit_l2tl(dense_l2tl(policy=policy, oversample=2), ragged)


def test_the_credit_gets_candidates_and_selected_examples():
    model = dense_l2tl(oversample=2)
    transitions = []
    model._policy_phase = lambda each: transitions.append(each) or 0.0
    batch = next(iter(l2tl_streams()))
    model.train_step(batch)
    (transition,) = transitions
    np.testing.assert_array_equal(transition.candidates, batch["source"][1])
    assert transition.source.labels.shape == (8,)


class Modes(keras.layers.Layer):
    """Records whether its calls are in training mode."""

    def call(self, inputs, training=None):
        self.modes.append(training)
        return inputs


def test_dropout_and_normalisation_are_off_outside_the_model_phase():
    """Only the passes of source and target are in training mode."""
    recorder = Modes()
    recorder.modes = []
    images = keras.Input((8, 8, 1))
    body = keras.layers.BatchNormalization()(keras.layers.Flatten()(images))
    encoder = keras.Model(images, keras.layers.Dropout(0.5)(recorder(body)))
    model = dense_l2tl(encoder=encoder, credit="gradient", improvement=True)
    recorder.modes.clear()
    tf.function(model.train_step).get_concrete_function(
        next(iter(l2tl_streams()))
    )
    # The reward before the step; source and target; then the validation images
    # for reward and credit together, and the source images for the credit.
    assert recorder.modes[-5:] == [False, True, True, False, False]
    statistics = arrays(encoder.non_trainable_variables)
    fit_l2tl(model)
    assert not equal_states(statistics, arrays(encoder.non_trainable_variables))


@pytest.mark.parametrize(
    ("name", "credit"),
    [
        ("bfloat16", "feature"),
        ("float64", "gradient"),
        slow("bfloat16", "gradient"),
        slow("float64", "feature"),
        slow("bfloat16", "reinforce"),
        slow("float64", "reinforce"),
    ],
)
def test_policy_and_credit_stay_float32(name, credit, default_float):
    default_float(name)
    model = dense_l2tl(credit=credit)
    before = np.array(model.policy.logits)
    history = fit_l2tl(model, steps_per_epoch=2)
    assert np.isfinite([float(loss) for loss in history["loss"]]).all()
    assert np.abs(np.array(model.policy.logits) - before).max() > 1e-3
    for variable in (*model.policy.variables, *model.credit.variables):
        assert variable.dtype in ("float32", "int64"), variable.path
