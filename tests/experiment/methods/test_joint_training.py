import functools

import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment import compiled_models
from tf_transfer.experiment.methods import joint_training
from tf_transfer.models import class_relation


@functools.cache
def oversampling_bench():
    config = helpers.tiny_experiment(
        l2tl=config_lib.L2tl(
            steps=4, policy_warmup=1, oversample=2, reward="negative_loss"
        )
    )
    return compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)


def ones(made):
    return np.ones(made.source.num_classes)


def test_fixed_weights_matter_and_training_repeats(tmp_path):
    made, steps = helpers.seed_run(tmp_path)
    first = joint_training.train_weighted(made, ones(made), 1.0)
    # A model is fine-tuned before, to tell the target labels.
    assert sum(steps) == 20 + 4 + 2 * (4 + 4)
    again = joint_training.train_weighted(made, ones(made), 1.0)
    other = joint_training.train_weighted(made, np.eye(8)[0], 1.0)
    policy = made.bench.joint.model.policy
    np.testing.assert_array_equal(policy.weights_of_classes, ones(made))
    assert helpers.equal_states(first.state, again.state)
    assert not helpers.equal_states(first.state, other.state)
    stages = {"generalist", "pretraining", "joint", "finetuning"}
    assert set(made.ledger.history) == stages


def test_the_result_is_a_target_model(tmp_path):
    made, _ = helpers.seed_run(tmp_path)
    outcome = joint_training.train_weighted(made, ones(made), scale=0.5)
    made.bench.target.load(outcome.state)
    assert made.evaluate(made.target.test).accuracy > 0.2
    np.testing.assert_allclose(made.ledger.history["joint"]["scale"], 0.5)


@pytest.mark.parametrize("mixes", [True, False])
def test_target_labels_are_those_that_a_fine_tuned_model_sees(
    tmp_path, monkeypatch, mixes
):
    monkeypatch.setattr(compiled_models.CompiledModels, "mixes_heads", mixes)
    made, _ = helpers.seed_run(tmp_path, datl=config_lib.Datl(apply="attach"))
    made.head = "fresh"
    joint_training.train_weighted(made, np.eye(8)[0], 1.0)
    policy = made.bench.joint.model.policy
    np.testing.assert_allclose(policy.weights_of_classes, 8 * np.eye(8)[0])
    rate = made.config.finetuning.learning_rates[0]
    # Not from the head of the joint training, where there is a better one.
    head = "related" if mixes else "fresh"
    state = made.tune(made.unweighted, made.target.labelled, rate, head)
    made.bench.target.load(state)
    found = np.array(made.bench.joint.model.relation)
    expected = class_relation.class_relation(
        made.bench.target.model, made.some_source, 8
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_uniform_training_keeps_the_source_labels(tmp_path):
    made, steps = helpers.seed_run(tmp_path)
    model = made.bench.joint.model
    model.relate(np.full((8, 4), 0.25))
    model.policy.assign(np.eye(8)[0], 0.5)
    outcome = joint_training.train_uniform(made)
    assert sum(steps) == 20 + 4 + 2 * 4
    np.testing.assert_array_equal(model.relation, np.zeros((8, 4)))
    np.testing.assert_array_equal(model.policy.weights_of_classes, ones(made))
    np.testing.assert_allclose(made.ledger.history["joint"]["scale"], 1)
    assert helpers.equal_states(
        outcome.state, joint_training.train_uniform(made).state
    )


def test_without_relabelling_no_model_is_fine_tuned_before(tmp_path):
    settings = config_lib.L2tl(steps=4, policy_warmup=1, relabel=False)
    made, steps = helpers.seed_run(tmp_path, l2tl=settings)
    joint_training.train_weighted(made, ones(made), 1.0)
    assert sum(steps) == 20 + 4 + 2 * 4
    relation = made.bench.joint.model.relation
    np.testing.assert_array_equal(relation, np.zeros((8, 4)))


@pytest.mark.slow
def test_a_share_of_one_trains_jointly_to_the_end(tmp_path):
    settings = config_lib.L2tl(joint_share=1.0, steps=4, policy_warmup=1)
    made, steps = helpers.seed_run(tmp_path, l2tl=settings)
    joint_training.train_uniform(made)
    assert "finetuning" not in made.ledger.history
    assert sum(steps) == 20 + 4 + 2 * 4


def test_weights_are_learned_from_the_train_and_validation_parts(tmp_path):
    made, steps = helpers.seed_run(tmp_path)
    weights, scale = joint_training.learn_weights(made)
    assert weights @ made.source.prior == pytest.approx(1)
    assert (weights != weights[0]).any()
    assert 0 < scale < 1
    history = made.ledger.history["learning"]
    assert len(history["reward"]) == 2
    assert "baseline" not in history
    # At the start, which is flat but for DATL's weights, and after each epoch.
    assert np.shape(history["class_weights"]) == (3, 8)
    np.testing.assert_allclose(history["class_weights"][-1], weights, atol=1e-4)
    assert history["expected_scale"][0] == pytest.approx(0.5)
    assert history["expected_scale"][-1] == pytest.approx(scale)
    assert made.learned == {"weights": weights.tolist(), "scale": scale}
    assert sum(steps) == 20 + 4 + 4


@pytest.mark.slow
def test_learning_can_start_from_datl(tmp_path):
    settings = config_lib.L2tl(start="datl", policy_warmup=4, steps=4)
    made, _ = helpers.seed_run(tmp_path, l2tl=settings)
    importance = made.importance()
    importance.update(made.target_prior.prior, made.source.prior)
    bench = made.bench.learner
    made.config.l2tl.policy_learning_rate = 1e-9
    weights, _ = joint_training.learn_weights(made)
    order = np.argsort(importance.numpy())
    assert (np.diff(weights[order]) > -1e-4).all()
    assert bench.model.policy.start is not None


@pytest.mark.parametrize("start", ["flat", "datl"])
def test_a_frozen_policy_gives_the_weights_where_it_starts(tmp_path, start):
    settings = config_lib.L2tl(steps=4, policy_warmup=1, start=start)
    made, steps = helpers.seed_run(tmp_path, l2tl=settings)
    weights, scale = joint_training.learn_weights(made, frozen=True)
    assert sum(steps) == 20 * (start == "datl")
    assert "learning" not in made.ledger.history
    expected = ones(made)
    if start == "datl":
        importance = made.importance()
        importance.update(made.target_prior.prior, made.source.prior)
        expected = importance.numpy()
        assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(weights, expected, atol=0.2)
    assert made.learned == {"weights": weights.tolist(), "scale": scale}


@pytest.mark.slow
def test_oversampling_takes_larger_source_batches(tmp_path):
    bench = oversampling_bench()
    made, _ = helpers.seed_run(tmp_path, bench=bench, l2tl=bench.config.l2tl)
    seen = []
    fit = made.fit

    def looking(name, bench, batches, stage, *rest, **keep):
        if name == "learning":
            seen.append(next(iter(batches(0)))["source"][1].shape)
        fit(name, bench, batches, stage, *rest, **keep)

    made.fit = looking
    weights, _ = joint_training.learn_weights(made)
    assert seen == [(32,)]
    assert np.isfinite(weights).all()


@pytest.mark.slow
def test_mirrored_equals_one_device(tmp_path):
    found = []
    for strategy in ("none", "mirrored"):
        config = helpers.tiny_experiment(strategy=strategy)
        bench = helpers.shared_models()
        if strategy == "mirrored":
            bench = compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)
        made, _ = helpers.seed_run(
            tmp_path / strategy, bench=bench, strategy=strategy
        )
        weights = np.arange(8.0)
        found.append(joint_training.train_weighted(made, weights, 0.5).state)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
