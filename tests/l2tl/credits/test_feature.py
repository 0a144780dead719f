import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.l2tl import losses
from tf_transfer.l2tl.credits import lookup
from tf_transfer.l2tl.types import Batch


def test_reinforce_compares_with_the_rewards_before():
    """Fault 3 of the released code: its baseline held the reward itself."""
    model = helpers.l2tl_model(tt.Reinforce(decay=0.5))
    advantage = model.credit._advantage
    found = [
        float(advantage(tf.constant(r), helpers.ACTIVE))
        for r in (1.0, 0.0, 1.0)
    ]
    # Means before: none, 1, (.5 * .5 + .5 * 0) / .75 = 1/3, deviation .4714.
    assert found[0] == 0
    assert found[1] == -3  # no deviation yet: bounded
    assert found[2] == pytest.approx((1 - 1 / 3) / np.sqrt(2 / 9), abs=1e-4)
    # And after it: (1/3 * .75 / 2 + .5) / .875.
    assert float(model.credit.baseline()) == pytest.approx(5 / 7)


def test_reinforce_moves_only_classes_of_the_batch_and_by_the_sign():
    model = helpers.l2tl_model("reinforce")
    shown = helpers.transition(model)
    few = shown._replace(  # candidates of three classes, of which one is kept
        candidates=shown.candidates[:3],
        source=Batch(*(part[:1] for part in shown.source)),
    )
    variables = model.policy.trainable_variables
    for reward, sign in ((0.0, 0), (1.0, 1)):
        with tf.GradientTape() as tape:
            shown = few._replace(reward=tf.constant(reward))
            loss = model.credit.policy_loss(model, shown, helpers.ACTIVE)
        gradient = tape.gradient(loss, variables[0].value).numpy()
        chosen = few.actions.levels.numpy()  # of the scale first
        assert (np.sign(-gradient[range(4), chosen[:4]]) == sign).all()
        np.testing.assert_array_equal(gradient[4:], 0)


@pytest.mark.parametrize(
    ("objective", "depth"), [("log_odds", 0.5), ("loss", 1.0)]
)
def test_gradient_credit_is_the_effect_of_a_step(objective, depth):
    """Inner products of gradients, each by a backward pass of its own."""
    model = helpers.l2tl_model(tt.GradientCredit(objective, depth))
    shown = helpers.transition(model)
    effects, known = model.credit.effects(model, shown)
    assert effects.shape == (24, 1)
    np.testing.assert_array_equal(known, [1])

    def gradient(part, head, chosen):
        every = model.encoder.trainable_variables
        variables = [v.value for v in every[-round(depth * len(every)) :]]
        with tf.GradientTape() as tape:
            logits = head(model.encoder(part.images))
            gain = losses.log_odds(part.labels, logits)
            if objective == "loss":
                gain = -model.example_losses(part.labels, logits)
            gain = tf.reduce_mean(gain[chosen])
        parts = tape.gradient(gain, variables)
        return np.concatenate([np.ravel(part) for part in parts])

    towards = gradient(shown.validation, model.target_head, slice(None))
    for i in (0, 5, 17):
        step = gradient(shown.source, model.source_head, slice(i, i + 1))
        expected = pytest.approx(step @ towards, rel=1e-3, abs=1e-4)
        assert float(effects[i, 0]) == expected


def test_gradient_credit_knows_what_the_source_images_teach():
    model = helpers.l2tl_model(tt.GradientCredit(), relabel=True)
    model.relate(np.eye(4)[np.arange(8) % 4])
    shown = helpers.transition(model)
    effects, _ = model.credit.effects(model, shown)
    values = model.credit.values(model)
    with tf.GradientTape() as tape:
        features = model.encoder(shown.source.images[:1], training=False)
        loss = model.source_losses(shown.source.labels[:1], features)
    gradients = tape.gradient(loss, values, unconnected_gradients="zero")
    slopes = zip(gradients, shown.slope, strict=True)
    expected = -sum(float(tf.reduce_sum(a * b)) for a, b in slopes)
    assert float(effects[0, 0]) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_gradient_credit_goes_through_the_later_half_by_default():
    model = helpers.l2tl_model(tt.GradientCredit())
    chosen = model.credit.values(model)
    every = model.encoder.trainable_variables
    assert [v.shape for v in chosen] == [v.shape for v in every[7:]]
    model = helpers.l2tl_model(tt.GradientCredit(depth=0.01))
    assert len(model.credit.values(model)) == 1


def test_feature_credit_knows_what_the_source_images_teach():
    """A class whose images teach a target class helps that class most."""
    model = tt.L2TL(
        tt.small_encoder((8, 8, 1), 4), 8, 4, credit="feature", relabel=True
    )
    model.compile(keras.optimizers.SGD(0.1))
    own, _ = model.credit.effects(model, helpers.transition(model))
    model.relate(np.eye(4)[np.arange(8) % 4])
    shown = helpers.transition(model)
    found, _ = model.credit.effects(model, shown)
    assert np.abs(found - own).max() > 0.1
    labels = shown.source.labels.numpy()
    best = found.numpy().argmax(axis=1)
    np.testing.assert_array_equal(best, labels % 4)


def test_feature_effects_are_means_over_the_images_of_a_target_class():
    model = helpers.l2tl_model("feature")
    shown = helpers.transition(model)

    def effects(*chosen):
        parts = (np.array(part)[list(chosen)] for part in shown.validation)
        some = shown._replace(validation=Batch(*map(tf.constant, parts)))
        return model.credit.effects(model, some)[0].numpy()

    # Two images of class 0, one of class 1.
    together, apart = effects(0, 1, 4), [effects(i) for i in (0, 1, 4)]
    of_class_0 = (apart[0] + apart[2])[:, 0] / 2
    np.testing.assert_allclose(together[:, 0], of_class_0, atol=1e-6)
    np.testing.assert_allclose(together[:, 1], apart[1][:, 1], atol=1e-6)


def test_sharpness_is_by_how_much_the_unlike_count_less():
    model = helpers.l2tl_model("feature")
    shown = helpers.transition(model)
    one = Batch(*(part[:1] for part in shown.validation))
    flat, sharp = (
        tt.FeatureCredit(sharpness).effects(
            model, shown._replace(validation=one)
        )[0][:, 0]
        for sharpness in (0.0, 10.0)
    )
    cosines = -keras.losses.cosine_similarity(
        shown.source.features, one.features
    )
    assert np.min(cosines) < 0.9
    expected = flat * tf.exp(10 * (cosines - 1))
    np.testing.assert_allclose(sharp, expected, atol=1e-5)


@pytest.mark.parametrize("name", sorted(lookup.CREDITS))
def test_config_round_trip(name):
    credit = lookup.credit(name)
    again = type(credit).from_config(credit.get_config())
    assert again.get_config() == credit.get_config()
    assert lookup.credit(again) is again


def test_refuses():
    with pytest.raises(InputError, match="`credit` must be one of feature"):
        lookup.credit("shapley")
    with pytest.raises(InputError, match="`decay`"):
        tt.Reinforce(decay=1.0)
    with pytest.raises(InputError, match="`sharpness`"):
        tt.FeatureCredit(sharpness=-1)
    with pytest.raises(InputError, match="log_odds or loss"):
        tt.GradientCredit("accuracy")
    with pytest.raises(InputError, match="`depth`"):
        tt.GradientCredit(depth=0)
