import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.l2tl import losses


@pytest.mark.parametrize(
    ("objective", "depth"), [("log_odds", 0.5), ("loss", 1.0)]
)
def test_gradient_credit_is_the_effect_of_a_step(objective, depth):
    """Inner products of gradients, each by a backward pass of its own."""
    model = helpers.l2tl_model(tt.GradientCredit(objective, depth))
    transition = helpers.transition(model)
    effects, present = model.credit.effects(model, transition)
    assert effects.shape == (24, 1)
    np.testing.assert_array_equal(present, [1])

    def gradient(batch, head, examples):
        trainable = model.encoder.trainable_variables
        count = round(depth * len(trainable))
        variables = [v.value for v in trainable[-count:]]
        with tf.GradientTape() as tape:
            logits = head(model.encoder(batch.images))
            scores = losses.log_odds(batch.labels, logits)
            if objective == "loss":
                scores = -model.example_losses(batch.labels, logits)
            mean = tf.reduce_mean(scores[examples])
        parts = tape.gradient(mean, variables)
        return np.concatenate([np.ravel(part) for part in parts])

    of_validation = gradient(
        transition.validation, model.target_head, slice(None)
    )
    for i in (0, 5, 17):
        of_example = gradient(
            transition.source, model.source_head, slice(i, i + 1)
        )
        expected = pytest.approx(of_example @ of_validation, rel=1e-3, abs=1e-4)
        assert float(effects[i, 0]) == expected


def test_gradient_credit_uses_the_target_labels_of_the_source():
    model = helpers.l2tl_model(tt.GradientCredit(), relabel=True)
    model.relate(np.eye(4)[np.arange(8) % 4])
    transition = helpers.transition(model)
    effects, _ = model.credit.effects(model, transition)
    values = model.credit.values(model)
    with tf.GradientTape() as tape:
        features = model.encoder(transition.source.images[:1], training=False)
        loss = model.source_losses(transition.source.labels[:1], features)
    gradients = tape.gradient(loss, values, unconnected_gradients="zero")
    pairs = zip(gradients, transition.validation_gradients, strict=True)
    expected = -sum(float(tf.reduce_sum(a * b)) for a, b in pairs)
    assert float(effects[0, 0]) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_gradient_credit_goes_through_the_later_half_by_default():
    model = helpers.l2tl_model(tt.GradientCredit())
    values = model.credit.values(model)
    later = model.encoder.trainable_variables[7:]
    assert [v.shape for v in values] == [v.shape for v in later]
    model = helpers.l2tl_model(tt.GradientCredit(depth=0.01))
    assert len(model.credit.values(model)) == 1


def test_refuses_an_unknown_objective_and_an_invalid_depth():
    with pytest.raises(InputError, match="log_odds or loss"):
        tt.GradientCredit("accuracy")
    with pytest.raises(InputError, match="`depth`"):
        tt.GradientCredit(depth=0)
