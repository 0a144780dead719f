import functools

import conftest
import numpy as np
import pytest
from test_trial import equal, make, shared_bench

from tf_transfer import config as config_lib
from tf_transfer import joint_training, workbench


@functools.cache
def oversampling_bench():
    config = conftest.tiny_experiment(
        l2tl=config_lib.L2tl(
            steps=4, policy_warmup=1, oversample=2, reward="negative_loss"
        )
    )
    return workbench.Workbench(config, (8, 8, 1), 8, 4)


def ones(made):
    return np.ones(made.source.num_classes)


def test_fixed_weights_matter_and_training_repeats(tmp_path):
    made, steps = make(tmp_path)
    first = joint_training.train(made, ones(made))
    assert sum(steps) == 20 + 4 + 2 * 4
    again = joint_training.train(made, ones(made))
    other = joint_training.train(made, np.eye(8)[0])
    assert equal(first.state, again.state)
    assert not equal(first.state, other.state)
    stages = {"generalist", "pretraining", "joint", "finetuning"}
    assert set(made.history) == stages
    assert first.validation["accuracy"] <= 1


def test_the_result_is_a_target_model(tmp_path):
    made, _ = make(tmp_path)
    outcome = joint_training.train(made, ones(made), scale=0.5)
    made.bench.target.load(outcome.state)
    assert made.evaluate(made.target.test)["accuracy"] > 0.2
    np.testing.assert_allclose(made.history["joint"]["scale"], 0.5)


@pytest.mark.slow
def test_a_share_of_one_trains_jointly_to_the_end(tmp_path):
    settings = config_lib.L2tl(joint_share=1.0, steps=4, policy_warmup=1)
    made, steps = make(tmp_path, l2tl=settings)
    joint_training.train(made, ones(made))
    assert "finetuning" not in made.history
    assert sum(steps) == 20 + 4 + 2 * 4


def test_weights_are_learned_from_the_train_and_validation_parts(tmp_path):
    made, steps = make(tmp_path)
    weights, scale = joint_training.learn_weights(made)
    assert weights @ made.source.prior == pytest.approx(1)
    assert (weights != weights[0]).any()
    assert 0 < scale < 1
    assert len(made.history["learning"]["reward"]) == 2
    assert made.learned == {"weights": weights.tolist(), "scale": scale}
    assert sum(steps) == 20 + 4 + 4


@pytest.mark.slow
def test_learning_can_start_from_datl(tmp_path):
    settings = config_lib.L2tl(start="datl", policy_warmup=4, steps=4)
    made, _ = make(tmp_path, l2tl=settings)
    importance = made.importance()
    importance.update(made.target_prior.prior, made.source.prior)
    bench = made.bench.learner
    made.config.l2tl.policy_learning_rate = 1e-9
    weights, _ = joint_training.learn_weights(made)
    order = np.argsort(importance.numpy())
    assert (np.diff(weights[order]) > -1e-4).all()
    assert bench.model.policy.start is not None


@pytest.mark.slow
def test_the_frozen_control_draws_but_does_not_learn(tmp_path):
    made, _ = make(tmp_path)
    outcome = joint_training.train_frozen(made)
    policy = made.bench.learner.model.policy
    np.testing.assert_array_equal(policy.class_logits, np.zeros((8, 11)))
    assert not equal(
        outcome.state, joint_training.train(made, ones(made)).state
    )


@pytest.mark.slow
def test_oversampling_takes_larger_source_batches(tmp_path):
    bench = oversampling_bench()
    made, _ = make(tmp_path, bench=bench, l2tl=bench.config.l2tl)
    streams = joint_training._streams(made, made.target.train, 16)
    batch = next(iter(streams(0)))
    assert batch["source"][1].shape == (32,)
    weights, _ = joint_training.learn_weights(made)
    assert np.isfinite(weights).all()


@pytest.mark.slow
def test_mirrored_equals_one_device(tmp_path):
    found = []
    for strategy in ("none", "mirrored"):
        config = conftest.tiny_experiment(strategy=strategy)
        bench = shared_bench()
        if strategy == "mirrored":
            bench = workbench.Workbench(config, (8, 8, 1), 8, 4)
        made, _ = make(tmp_path / strategy, bench=bench, strategy=strategy)
        found.append(joint_training.train(made, ones(made)).state)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
