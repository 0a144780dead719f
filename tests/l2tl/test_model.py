import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
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
from tf_transfer.data import image_data
from tf_transfer.errors import InputError
from tf_transfer.training import distribution

slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize("credit", ["feature", slow("gradient")])
def test_the_policy_learns_which_classes_are_worth_it(credit):
    """Half of the source classes have labels at random."""
    rng = np.random.default_rng(0)
    useful = helpers.blobs(per_class=100)
    noise = helpers.blobs(per_class=100, seed=5)
    noise = tt.ImageData(
        noise.images, rng.permutation(noise.labels), noise.class_names
    )
    source = image_data.join([useful, noise])
    order = rng.permutation(len(source.labels))
    data = tt.streams(
        source.take(order).batches(32).repeat(),
        TARGET.batches(16),
        VALIDATION.batches(16),
    )
    model = dense_l2tl(
        encoder=tt.small_encoder((8, 8, 1), 4),
        credit=credit,
        policy_warmup=40,
    )
    fit_l2tl(model, data, steps_per_epoch=160)
    weights = model.importance_weights()
    assert weights.mean() == pytest.approx(1)
    assert weights[:4].min() > weights[4:].max() + 0.2


RELATION = np.repeat([[0.7, 0.1, 0.1, 0.1], [0, 0, 0, 0]], [6, 2], axis=0)


def replicas_equal_one(mirrored, **settings):
    settings["policy"] = settings.pop("policy", tt.WeightPolicy)
    results = []
    for strategy in (tt.strategy("none"), mirrored):
        with strategy.scope():
            arguments = settings | {"policy": settings["policy"](8)}
            # Adam would magnify round-off where a gradient is exactly zero.
            model = dense_l2tl(
                policy_optimizer=keras.optimizers.SGD(0.5), **arguments
            )
            if settings.get("relabel"):
                model.relate(RELATION)
        logs = fit_l2tl(model, epochs=2)
        results.append((arrays(model.variables), logs))
    (one, logs), (two, mirrored_logs) = results
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    for name, by_epoch in logs.items():
        np.testing.assert_allclose(
            by_epoch, mirrored_logs[name], atol=1e-3, err_msg=name
        )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        slow({"credit": "gradient"}),
        slow({"credit": "reinforce", "reward": "auc", "improvement": True}),
        {"policy": tt.FixedPolicy},
        {"policy": tt.FixedPolicy, "relabel": True},
        slow({"relabel": True}),
    ],
    ids=[
        "feature",
        "gradient",
        "reinforce",
        "fixed",
        "fixed, related",
        "feature, related",
    ],
)
@pytest.mark.slow
def test_two_replicas_equal_one(mirrored, settings):
    replicas_equal_one(mirrored, **settings)


@pytest.mark.parametrize(
    "credit", ["feature", slow("gradient"), slow("reinforce")]
)
def test_a_loaded_model_trains_on_like_the_saved_one(tmp_path, credit):
    reward = keras.metrics.SparseTopKCategoricalAccuracy(k=2)
    reward = reward if credit == "feature" else "auc"
    model = dense_l2tl(credit=credit, reward=reward, improvement=True)
    fit_l2tl(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for name in ("policy", "reward", "oversample", "policy_warmup"):
        assert again.get_config()[name] == model.get_config()[name]
    assert again.improvement
    assert equal_states(arrays(again.variables), arrays(model.variables))
    fit_l2tl(model)
    fit_l2tl(again)
    assert equal_states(arrays(again.variables), arrays(model.variables))


def test_the_relation_is_saved(tmp_path):
    model = dense_l2tl(policy=tt.FixedPolicy(8), relabel=True)
    model.relate(RELATION)
    fit_l2tl(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config()["relabel"]
    np.testing.assert_array_equal(again.relation, model.relation)
    np.testing.assert_array_equal(again.relation, np.float32(RELATION))
    fit_l2tl(model)
    fit_l2tl(again)
    assert equal_states(arrays(again.variables), arrays(model.variables))
    fresh = tt.L2TL.from_config(model.get_config())
    np.testing.assert_array_equal(fresh.relation, np.zeros((8, 4)))
    assert dense_l2tl().get_config()["relabel"] is False


def test_target_labels_of_the_source_teach_the_target():
    """Source classes 0 to 3 are the target's; the target is hidden."""
    model = dense_l2tl(policy=tt.FixedPolicy(8), relabel=True)
    model.relate(np.eye(8, 4))
    hidden = tt.ImageData(
        np.zeros_like(TARGET.images), TARGET.labels, TARGET.class_names
    )
    data = tt.streams(SOURCE.batches(16), hidden.batches(8))
    fit_l2tl(model, data, epochs=8)
    scores = model.evaluate(VALIDATION.batches(16), verbose=0, return_dict=True)
    assert scores["accuracy"] > 0.9


def test_evaluate_and_predict_are_about_the_target():
    model = dense_l2tl()
    history = fit_l2tl(model, epochs=3, validation_data=TARGET.batches(16))
    assert set(history) == {
        *("loss", "accuracy", "source_loss", "target_loss"),
        *("reward", "scale", "policy_entropy"),
        *("val_loss", "val_accuracy"),
    }
    logs = model.evaluate(TARGET.batches(16), verbose=0, return_dict=True)
    images = TARGET.images / np.float32(255)
    logits = model.predict(images, verbose=0)
    accuracy = (logits.argmax(axis=1) == TARGET.labels).mean()
    assert set(logs) == {"loss", "accuracy"}
    assert logs["accuracy"] == pytest.approx(accuracy)
    assert logs["accuracy"] == pytest.approx(history["val_accuracy"][-1])
    loss = helpers.LOSS(TARGET.labels, logits)
    assert logs["loss"] == pytest.approx(float(loss), abs=1e-5)
    np.testing.assert_allclose(
        model.classifier().predict(images, verbose=0), logits, atol=1e-6
    )


def test_refit_on_all_labels_with_the_learned_weights_fixed():
    learner = dense_l2tl()
    fit_l2tl(learner)
    weights = learner.importance_weights()
    scale = float(learner.policy.expected_scale())
    model = dense_l2tl(policy=tt.FixedPolicy(8, weights, scale))
    history = fit_l2tl(model, tt.streams(SOURCE.batches(16), TARGET.batches(8)))
    np.testing.assert_allclose(model.importance_weights(), weights, rtol=1e-6)
    assert history["scale"] == pytest.approx([scale])
    assert "reward" not in history


def test_importance_weights_have_mean_one_under_the_source_prior():
    policy = tt.WeightPolicy(8, start=np.arange(8))
    model = dense_l2tl(policy=policy)
    prior = np.arange(1, 9) / 36
    weights = model.importance_weights(prior)
    assert weights @ prior == pytest.approx(1)
    assert (np.diff(weights) > 0).all()
    np.testing.assert_array_equal(
        model.importance_weights(prior.tolist()), weights
    )
    with pytest.raises(InputError, match="not counts"):
        model.importance_weights(np.arange(1, 9))


@pytest.mark.slow
@pytest.mark.parametrize("credit", ["feature", "gradient", "reinforce"])
def test_a_step_compiled_by_xla_is_the_same(credit):
    """A TPU needs the same: static shapes, and no Python in the step."""
    batch = next(iter(l2tl_streams()))
    results = []
    for compiled in (False, True):
        model = dense_l2tl(credit=credit, oversample=2)
        step = tf.function(model.train_step, jit_compile=compiled)
        for _ in range(3):
            step(batch)
        results.append(arrays(model.variables))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


@pytest.mark.parametrize(
    "precision",
    ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)],
)
def test_mixed_precision(precision):
    keras.config.set_dtype_policy(precision)
    try:
        model = dense_l2tl(credit="feature")
        history = fit_l2tl(model, epochs=6)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.encoder.layers[-1].compute_dtype == precision[6:]
    assert history["target_loss"][-1] < history["target_loss"][0]
    images = TARGET.images[:3] / np.float32(255)
    assert model(images).dtype == "float32"


def test_schedules_and_weight_decay_belong_to_the_optimizers():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
    model = dense_l2tl(
        optimizer=keras.optimizers.SGD(schedule, weight_decay=1e-3),
        policy_optimizer=keras.optimizers.Adam(schedule),
    )
    fit_l2tl(model)
    for optimizer in (model.optimizer, model.policy_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(0.025)


def test_streams_repeat_target_and_validation():
    batches = list(l2tl_streams())
    assert len(batches) == 10
    assert list(batches[0]) == ["source", "target", "validation"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros(3), "source stream must be a tf.data.Dataset"),
        (tf.data.Dataset.from_tensors(np.zeros(3)), "batches of images and"),
        (
            tf.data.Dataset.from_tensors((np.zeros((3, 2)), np.zeros((3, 2)))),
            "not one-hot",
        ),
    ],
)
def test_streams_refuse(source, message):
    with pytest.raises(InputError, match=message):
        tt.streams(source, TARGET.batches(8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"oversample": 0}, "`oversample`"),
        ({"policy_warmup": -1}, "policy_warmup"),
        ({"policy": tt.WeightPolicy(5)}, "source classes, 8. Received: 5"),
        ({"policy": [1.0] * 8}, "a FixedPolicy. Received: list"),
        ({"credit": "none"}, "`credit` must be one of"),
        (
            {"reward": keras.metrics.AUC(multi_label=True)},
            "variables from the start. Received: 'auc' without any",
        ),
        ({"reward": "f1"}, "`reward` must be"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        dense_l2tl(**settings)


def test_training_needs_streams():
    with pytest.raises(
        InputError, match=r"`streams` returns\. Received: tuple"
    ):
        fit_l2tl(dense_l2tl(), SOURCE.batches(16))


def test_a_learning_policy_needs_a_validation_stream():
    data = tt.streams(SOURCE.batches(16), TARGET.batches(8))
    with pytest.raises(InputError, match="needs a validation stream"):
        fit_l2tl(dense_l2tl(), data)


def test_collective_functions_do_nothing_outside_of_replicas():
    value = tf.constant([1.0])
    assert distribution.total(value) is value
    assert distribution.gathered(value) is value
    assert distribution.num_replicas() == 1
