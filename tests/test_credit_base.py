import numpy as np
import pytest
import tensorflow as tf
from test_credit import ACTIVE, evidence, make

import tf_transfer as tt
from tf_transfer import credit as credits
from tf_transfer.steps import Batch


def test_the_table_is_the_mean_effect_by_class_and_target_class():
    model = make(tt.FeatureCredit(decay=0.5))
    shown = evidence(model)
    effects, known = model.credit.effects(model, shown)
    assert effects.shape == (24, 4)
    np.testing.assert_array_equal(known, np.ones(4))
    labels = shown.source.labels.numpy()
    first = np.array([effects.numpy()[labels == c].mean(0) for c in range(8)])
    for _ in range(2):  # the mean of equal tables is that table
        model.credit.policy_loss(model, shown, ACTIVE)
        np.testing.assert_allclose(model.credit.table(), first, atol=1e-5)


def test_an_unseen_class_or_target_class_changes_nothing():
    model = make("feature")
    shown = evidence(model)
    part = shown._replace(
        source=Batch(*(part[:5] for part in shown.source)),
        validation=Batch(*(part[:2] for part in shown.validation)),
    )
    model.credit.policy_loss(model, part, ACTIVE)
    table = model.credit.table().numpy()
    assert (table[:5, :2] != 0).all()
    np.testing.assert_array_equal(table[5:], 0)
    np.testing.assert_array_equal(table[:, 2:], 0)
    credit, _ = model.credit.credit(model.policy)
    np.testing.assert_array_equal(credit[5:], 0)
    assert float(tf.reduce_mean(credit[:5])) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", sorted(credits.CREDITS))
def test_nothing_is_kept_while_the_policy_is_frozen(name):
    model = make(name)
    model.credit.policy_loss(model, evidence(model), tf.constant(0.0))
    for variable in model.credit.variables:
        np.testing.assert_array_equal(variable, np.zeros(variable.shape))


def test_credit_rises_and_falls_with_the_effect():
    """A class that helps is credited, one that harms is debited."""
    model = make("gradient", classes=3)
    credit = model.credit
    credit.sums.assign([[0.5], [-0.5], [0.0]])
    credit.mass.assign(np.ones((3, 1)))
    of_classes, of_scale = credit.credit(model.policy)
    np.testing.assert_allclose(of_classes, [1.2247, -1.2247, 0], atol=1e-3)
    assert float(of_scale) == pytest.approx(0, abs=1e-6)
    credit.sums.assign([[0.5], [0.3], [0.1]])
    assert float(credit.credit(model.policy)[1]) > 1
