import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.l2tl.types import Batch


def test_feature_credit_counts_the_target_classes_that_a_class_helps():
    """The scale is credited with the effects on all of them."""
    model = helpers.l2tl_model_with_table(
        "feature", [[0.4, -0.4, 0, 0], [0.1, 0, 0, 0]]
    )
    of_classes, of_scale = model.credit.credit(model.policy)
    np.testing.assert_allclose(of_classes, [1, -1], atol=1e-3)
    # Gains of .4 and .1, whose deviation is .15; sums of 0 and .1.
    assert float(of_scale) == pytest.approx(0.05 / 0.15, abs=1e-3)


def test_feature_credit_uses_the_target_labels_of_the_source():
    """A class whose images teach a target class helps that class most."""
    model = tt.L2TL(
        tt.small_encoder((8, 8, 1), 4), 8, 4, credit="feature", relabel=True
    )
    model.compile(keras.optimizers.SGD(0.1))
    own, _ = model.credit.effects(model, helpers.transition(model))
    model.relate(np.eye(4)[np.arange(8) % 4])
    transition = helpers.transition(model)
    related, _ = model.credit.effects(model, transition)
    assert np.abs(related - own).max() > 0.1
    labels = transition.source.labels.numpy()
    best = related.numpy().argmax(axis=1)
    np.testing.assert_array_equal(best, labels % 4)


def test_feature_effects_are_means_over_the_images_of_a_target_class():
    model = helpers.l2tl_model("feature")
    transition = helpers.transition(model)

    def effects(*indices):
        parts = (
            np.array(part)[list(indices)] for part in transition.validation
        )
        some = transition._replace(validation=Batch(*map(tf.constant, parts)))
        return model.credit.effects(model, some)[0].numpy()

    # Two images of class 0, one of class 1.
    together, apart = effects(0, 1, 4), [effects(i) for i in (0, 1, 4)]
    of_class_0 = (apart[0] + apart[2])[:, 0] / 2
    np.testing.assert_allclose(together[:, 0], of_class_0, atol=1e-6)
    np.testing.assert_allclose(together[:, 1], apart[1][:, 1], atol=1e-6)


def test_the_larger_the_sharpness_the_less_dissimilar_images_count():
    model = helpers.l2tl_model("feature")
    transition = helpers.transition(model)
    one = Batch(*(part[:1] for part in transition.validation))
    flat, sharp = (
        tt.FeatureCredit(sharpness).effects(
            model, transition._replace(validation=one)
        )[0][:, 0]
        for sharpness in (0.0, 10.0)
    )
    cosines = -keras.losses.cosine_similarity(
        transition.source.features, one.features
    )
    assert np.min(cosines) < 0.9
    expected = flat * tf.exp(10 * (cosines - 1))
    np.testing.assert_allclose(sharp, expected, atol=1e-5)


def test_refuses_a_negative_sharpness():
    with pytest.raises(InputError, match="`sharpness`"):
        tt.FeatureCredit(sharpness=-1)
