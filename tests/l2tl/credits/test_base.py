import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.l2tl.credits import lookup
from tf_transfer.l2tl.types import Batch


def test_the_table_is_the_mean_effect_by_class_and_target_class():
    model = helpers.l2tl_model(tt.FeatureCredit(decay=0.5))
    transition = helpers.transition(model)
    effects, present = model.credit.effects(model, transition)
    assert effects.shape == (24, 4)
    np.testing.assert_array_equal(present, np.ones(4))
    labels = transition.source.labels.numpy()
    first = np.array([effects.numpy()[labels == c].mean(0) for c in range(8)])
    for _ in range(2):  # the mean of equal tables is that table
        model.credit.observe(model, transition, helpers.ACTIVE)
        np.testing.assert_allclose(model.credit.table(), first, atol=1e-5)
    # Three examples of every class, twice: each halves the past.
    np.testing.assert_allclose(model.credit.mass, np.full((8, 4), 63 / 64))


def test_an_absent_class_or_target_class_changes_nothing():
    model = helpers.l2tl_model("feature")
    transition = helpers.transition(model)
    few = transition._replace(
        source=Batch(*(part[:5] for part in transition.source)),
        source_gradients=transition.source_gradients[:5],
        validation=Batch(*(part[:2] for part in transition.validation)),
    )
    model.credit.observe(model, few, helpers.ACTIVE)
    table = model.credit.table().numpy()
    assert (table[:5, :2] != 0).all()
    np.testing.assert_array_equal(table[5:], 0)
    np.testing.assert_array_equal(table[:, 2:], 0)
    np.testing.assert_array_equal(model.credit.mass[:, 2:], 0)
    credit, _ = model.credit.credit(model.policy)
    np.testing.assert_array_equal(credit[5:], 0)
    assert float(tf.reduce_mean(credit[:5])) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", sorted(lookup.CREDITS))
def test_averages_stay_as_they_are_while_the_policy_is_frozen(name):
    model = helpers.l2tl_model(name)
    model.credit.observe(model, helpers.transition(model), tf.constant(0.0))
    for variable in model.credit.variables:
        np.testing.assert_array_equal(variable, np.zeros(variable.shape))


def test_credit_rises_and_falls_with_the_effect():
    """A class that helps is credited, one that harms is debited."""
    mass = np.array([[1], [1], [1], [0]])  # the last was never observed
    model = helpers.l2tl_model_with_table(
        "gradient", [[0.5], [-0.5], [0.0], [0.0]], mass
    )
    of_classes, of_scale = model.credit.credit(model.policy)
    np.testing.assert_allclose(of_classes, [1.2247, -1.2247, 0, 0], atol=1e-3)
    assert float(of_scale) == pytest.approx(0, abs=1e-6)
    model = helpers.l2tl_model_with_table(
        "gradient", [[0.5], [0.3], [0.1], [0.0]], mass
    )
    of_classes, of_scale = model.credit.credit(model.policy)
    np.testing.assert_allclose(of_classes, [1.2247, 0, -1.2247, 0], atol=1e-3)
    assert float(of_scale) == pytest.approx(0.3 / 0.1633, abs=1e-3)


def test_credit_is_bounded():
    model = helpers.l2tl_model_with_table("gradient", np.eye(30, 1))
    of_classes, _ = model.credit.credit(model.policy)
    assert float(of_classes[0]) == 3  # instead of 5.4 deviations


def test_the_source_loss_is_credited_by_the_classes_that_have_weight():
    model = helpers.l2tl_model_with_table("gradient", [[0.1], [-0.1]])
    logits = np.zeros((3, 3))
    logits[1:] = [0, 0, 30], [30, 0, 0]  # weight 1 and weight 0
    model.policy.logits.assign(logits)
    _, of_scale = model.credit.credit(model.policy)
    assert float(of_scale) == pytest.approx(1, abs=1e-3)


def test_refuses_a_decay_of_one():
    with pytest.raises(InputError, match="`decay`"):
        tt.Reinforce(decay=1.0)
