import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.l2tl.credits import lookup
from tf_transfer.l2tl.types import Batch


def test_the_table_is_the_mean_effect_by_class_and_target_class():
    model = helpers.l2tl_model(tt.FeatureCredit(decay=0.5))
    shown = helpers.transition(model)
    effects, known = model.credit.effects(model, shown)
    assert effects.shape == (24, 4)
    np.testing.assert_array_equal(known, np.ones(4))
    labels = shown.source.labels.numpy()
    first = np.array([effects.numpy()[labels == c].mean(0) for c in range(8)])
    for _ in range(2):  # the mean of equal tables is that table
        model.credit.policy_loss(model, shown, helpers.ACTIVE)
        np.testing.assert_allclose(model.credit.table(), first, atol=1e-5)
    # Three examples of every class, twice: each halves the past.
    np.testing.assert_allclose(model.credit.mass, np.full((8, 4), 63 / 64))


def test_an_unseen_class_or_target_class_changes_nothing():
    model = helpers.l2tl_model("feature")
    shown = helpers.transition(model)
    part = shown._replace(
        source=Batch(*(part[:5] for part in shown.source)),
        validation=Batch(*(part[:2] for part in shown.validation)),
    )
    model.credit.policy_loss(model, part, helpers.ACTIVE)
    table = model.credit.table().numpy()
    assert (table[:5, :2] != 0).all()
    np.testing.assert_array_equal(table[5:], 0)
    np.testing.assert_array_equal(table[:, 2:], 0)
    np.testing.assert_array_equal(model.credit.mass[:, 2:], 0)
    credit, _ = model.credit.credit(model.policy)
    np.testing.assert_array_equal(credit[5:], 0)
    assert float(tf.reduce_mean(credit[:5])) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", sorted(lookup.CREDITS))
def test_nothing_is_kept_while_the_policy_is_frozen(name):
    model = helpers.l2tl_model(name)
    model.credit.policy_loss(model, helpers.transition(model), tf.constant(0.0))
    for variable in model.credit.variables:
        np.testing.assert_array_equal(variable, np.zeros(variable.shape))


def with_table(name, table, mass=1.0):
    """A model whose classes had these effects."""
    model = helpers.l2tl_model(name, classes=len(table))
    mass = np.broadcast_to(mass, np.shape(table))
    model.credit.sums.assign(table * mass)
    model.credit.mass.assign(mass)
    return model


def test_credit_rises_and_falls_with_the_effect():
    """A class that helps is credited, one that harms is debited."""
    mass = np.array([[1], [1], [1], [0]])  # the last is unseen
    model = with_table("gradient", [[0.5], [-0.5], [0.0], [0.0]], mass)
    of_classes, of_scale = model.credit.credit(model.policy)
    np.testing.assert_allclose(of_classes, [1.2247, -1.2247, 0, 0], atol=1e-3)
    assert float(of_scale) == pytest.approx(0, abs=1e-6)
    model = with_table("gradient", [[0.5], [0.3], [0.1], [0.0]], mass)
    of_classes, of_scale = model.credit.credit(model.policy)
    np.testing.assert_allclose(of_classes, [1.2247, 0, -1.2247, 0], atol=1e-3)
    assert float(of_scale) == pytest.approx(0.3 / 0.1633, abs=1e-3)


def test_credit_is_bounded():
    model = with_table("gradient", np.eye(30, 1))  # 5.4 deviations
    of_classes, _ = model.credit.credit(model.policy)
    assert float(of_classes[0]) == 3


def test_the_source_loss_is_credited_by_the_classes_that_have_weight():
    model = with_table("gradient", [[0.1], [-0.1]])
    logits = np.zeros((3, 3))
    logits[1:] = [0, 0, 30], [30, 0, 0]  # the first alone
    model.policy.logits.assign(logits)
    _, of_scale = model.credit.credit(model.policy)
    assert float(of_scale) == pytest.approx(1, abs=1e-3)


def test_feature_credit_counts_the_target_classes_that_a_class_helps():
    """The scale is credited with the effects on all of them."""
    model = with_table("feature", [[0.4, -0.4, 0, 0], [0.1, 0, 0, 0]])
    of_classes, of_scale = model.credit.credit(model.policy)
    np.testing.assert_allclose(of_classes, [1, -1], atol=1e-3)
    # Gains of .4 and .1, whose deviation is .15; sums of 0 and .1.
    assert float(of_scale) == pytest.approx(0.05 / 0.15, abs=1e-3)
