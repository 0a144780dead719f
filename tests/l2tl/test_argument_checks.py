"""Settings of `compile` that would not do what they say are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import dense_l2tl, fit_l2tl, l2tl_streams
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


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.CategoricalCrossentropy(from_logits=True),
        keras.losses.CategoricalFocalCrossentropy(from_logits=True),
        keras.losses.CategoricalHinge(),
    ],
)
def test_a_loss_of_one_hot_labels_is_refused(loss, classes):
    with pytest.raises(InputError, match="`loss` must return a loss for ever"):
        argument_checks.check_loss(loss, classes)


@pytest.mark.parametrize(
    "settings",
    [
        {"class_weight": {0: 1.0, 1: 2.0}},
        {"sample_weight": np.ones(4)},
        {"validation_split": 0.2},
    ],
)
def test_fit_refuses_weights_of_its_own(settings):
    (name,) = settings
    with pytest.raises(InputError, match=f"`{name}` cannot be used"):
        fit_l2tl(dense_l2tl(), **settings)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
        keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
        ),
    ],
)
def test_averages_of_the_model_are_used_beside_a_policy(optimizer):
    """At momentum .5, three steps: w1/4 + w2/4 + w3/2."""
    paths = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            paths.append(np.array(self.model.target_head.bias))

    model = dense_l2tl(optimizer=optimizer)
    fit_l2tl(model, steps_per_epoch=3, callbacks=[Record()])
    average = paths[0] / 4 + paths[1] / 4 + paths[2] / 2
    np.testing.assert_allclose(model.target_head.bias, average, atol=1e-6)
    assert np.abs(average - paths[2]).max() > 1e-4


@pytest.mark.parametrize(
    ("settings", "compiled"),
    [
        ({"clipnorm": 1e-3}, {}),
        ({"clipvalue": 1e-3}, {}),
        ({"clipnorm": 1e-3}, {"steps_per_execution": 3}),
        ({"clipnorm": 1e-3}, {"run_eagerly": True}),
    ],
)
def test_the_step_of_the_policy_is_clipped(settings, compiled):
    model = dense_l2tl(policy_optimizer=keras.optimizers.SGD(1.0, **settings))
    for name, value in compiled.items():
        setattr(model, name, value)
    before = np.array(model.policy.logits)
    fit_l2tl(model, steps_per_epoch=3)
    moved = np.abs(np.array(model.policy.logits) - before).max()
    assert 0 < moved <= 3.01e-3
    assert model.importance_weights().mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"loss_weights": [2.0]}, "`loss_weights` has no effect"),
        ({"loss": "SparseCategoricalCrossentropy"}, "must take logits"),
        (
            {
                "loss": keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True, ignore_class=-1
                )
            },
            "must count all images",
        ),
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
        (
            {
                "policy_optimizer": keras.optimizers.LossScaleOptimizer(
                    keras.optimizers.Adam(gradient_accumulation_steps=2)
                )
            },
            "multiple of the `gradient_accumulation_steps`",
        ),
    ],
)
def test_compile_refuses_what_would_be_ignored(settings, sentence):
    model = dense_l2tl(policy_warmup=3)
    with pytest.raises(InputError, match=sentence):
        model.compile("sgd", **settings)


@pytest.mark.parametrize("warmup", [0, 2])
def test_accumulated_gradients_are_those_after_the_warmup(warmup):
    """The model's rate is 0: all gradients are those of the policy's start."""
    moves = []
    for accumulated in (None, 2):
        policy_optimizer = keras.optimizers.SGD(
            1.0, gradient_accumulation_steps=accumulated
        )
        model = dense_l2tl(
            keras.optimizers.SGD(0.0), policy_optimizer, policy_warmup=warmup
        )
        gradients, apply = [], policy_optimizer.apply
        model.run_eagerly = True

        def record(values, variables, apply=apply, gradients=gradients):
            gradients.append(np.array(values[0]))
            apply(values, variables)

        policy_optimizer.apply = record
        before = np.array(model.policy.logits)
        fit_l2tl(model, steps_per_epoch=warmup + 2)
        moves.append(before - np.array(model.policy.logits))
    assert not any(np.any(zeros) for zeros in gradients[:warmup])
    expected = np.mean(gradients[warmup:], axis=0)
    np.testing.assert_allclose(moves[1], expected, atol=1e-6)
    assert np.abs(moves[1]).max() > 1e-4


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


@pytest.mark.parametrize("part", ["source", "target", "validation"])
def test_images_of_another_size_are_named(part):
    sizes = dict.fromkeys(("source", "target", "validation"), 8) | {part: 6}
    batch = {
        name: (np.zeros((4, size, 8, 1), np.float32), np.zeros(4, np.int32))
        for name, size in sizes.items()
    }
    data = tf.data.Dataset.from_tensors(batch)
    message = rf"{part} images .* \(None, 8, 8, 1\)\. Received: \(4, 6, 8, 1\)"
    with pytest.raises(InputError, match=message):
        dense_l2tl().fit(data, verbose=0)


def test_an_endless_dataset_needs_steps():
    with pytest.raises(InputError, match="needs `steps_per_epoch`"):
        dense_l2tl().fit(l2tl_streams().repeat(), verbose=0)
    history = dense_l2tl().fit(
        l2tl_streams().repeat(), steps_per_epoch=2, verbose=0, shuffle=False
    )
    assert len(history.history["loss"]) == 1


@pytest.mark.parametrize("part", ["source", "target", "validation"])
def test_a_label_out_of_range_is_named(part):
    model = dense_l2tl()
    model.run_eagerly = True
    batch = {
        name: (np.zeros((4, 8, 8, 1), np.float32), np.zeros(4, np.int32))
        for name in ("source", "target", "validation")
    }
    end, received = (
        (8, "a label outside") if part == "source" else (4, "label 4")
    )
    batch[part][1][2] = end
    data = tf.data.Dataset.from_tensors(batch)
    with pytest.raises(
        InputError, match=rf"lie in \[0, {end}\). Received: {received}$"
    ):
        model.fit(data, verbose=0, shuffle=False)
    if part == "target":
        with pytest.raises(InputError, match="Received: label 4"):
            model.evaluate(*batch["target"], verbose=0)


def test_other_errors_of_tensorflow_stay():
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="of my own"),
        argument_checks.label_errors(),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "of my own")
