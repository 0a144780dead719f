import functools

import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.data import splits
from tf_transfer.datl.importance_weights import ImportanceWeights
from tf_transfer.errors import InputError
from tf_transfer.experiment import compiled_models
from tf_transfer.experiment.methods import METHODS, l2tl
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.models import class_relation


@functools.cache
def oversampling_models():
    config = helpers.tiny_experiment(
        l2tl=config_lib.L2tl(
            steps=4, policy_warmup=1, oversample=2, reward="negative_loss"
        )
    )
    return compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)


def ones(run):
    return np.ones(run.source.num_classes)


@pytest.mark.slow
def test_fixed_weights_matter_and_training_repeats(tmp_path):
    run, steps = helpers.seed_run(tmp_path)
    first = l2tl.train_weighted(run, ones(run), 1.0)
    # A model is fine-tuned before, to tell the target labels.
    assert sum(steps) == 20 + 4 + 2 * (4 + 4)
    again = l2tl.train_weighted(run, ones(run), 1.0)
    other = l2tl.train_weighted(run, np.eye(8)[0], 1.0)
    assert run.learned == {"weights": np.eye(8)[0].tolist(), "scale": 1.0}
    policy = run.models.joint.model.policy
    np.testing.assert_array_equal(policy.weights_of_classes, ones(run))
    assert helpers.equal_states(first.state, again.state)
    assert not helpers.equal_states(first.state, other.state)
    stages = {"generalist", "pretraining", "joint", "finetuning"}
    assert set(run.cache.history) == stages


def test_the_result_is_a_target_model(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    outcome = l2tl.train_weighted(run, ones(run), scale=0.5)
    with run.models.target.loaded(outcome.state):
        assert run.evaluate(splits.Part.TEST).accuracy > 0.2
    np.testing.assert_allclose(run.cache.history["joint"]["scale"], 0.5)


@pytest.mark.parametrize("mixes", [True, False])
@pytest.mark.slow
def test_target_labels_are_those_that_a_fine_tuned_model_sees(
    tmp_path, monkeypatch, mixes
):
    monkeypatch.setattr(compiled_models.CompiledModels, "mixes_heads", mixes)
    run, _ = helpers.seed_run(tmp_path, datl=config_lib.Datl(apply="attach"))
    run.head = "fresh"
    l2tl.train_weighted(run, np.eye(8)[0], 1.0)
    policy = run.models.joint.model.policy
    np.testing.assert_allclose(policy.weights_of_classes, 8 * np.eye(8)[0])
    rate = run.config.finetuning.learning_rates[0]
    # Not from the head of the joint training, where there is a better one.
    head = "related" if mixes else "fresh"
    start = run.pretrain_unweighted()
    state = run.finetune_at(rate, start, splits.Part.LABELLED, head)
    with run.models.target.loaded(state) as model:
        expected = class_relation.class_relation(model, run.parts.sample, 8)
    relation = np.array(run.models.joint.model.relation)
    np.testing.assert_allclose(relation, expected, atol=1e-5)


def test_uniform_training_keeps_the_source_labels(tmp_path):
    run, steps = helpers.seed_run(tmp_path)
    model = run.models.joint.model
    model.relate(np.full((8, 4), 0.25))
    model.policy.assign(np.eye(8)[0], 0.5)
    outcome = l2tl.train_uniform(run)
    assert sum(steps) == 20 + 4 + 2 * 4
    np.testing.assert_array_equal(model.relation, np.zeros((8, 4)))
    np.testing.assert_array_equal(model.policy.weights_of_classes, ones(run))
    np.testing.assert_allclose(run.cache.history["joint"]["scale"], 1)
    assert helpers.equal_states(outcome.state, l2tl.train_uniform(run).state)


def test_without_relabelling_no_model_is_fine_tuned_before(tmp_path):
    settings = config_lib.L2tl(steps=4, policy_warmup=1, relabel=False)
    run, steps = helpers.seed_run(tmp_path, l2tl=settings)
    l2tl.train_weighted(run, ones(run), 1.0)
    assert sum(steps) == 20 + 4 + 2 * 4
    relation = run.models.joint.model.relation
    np.testing.assert_array_equal(relation, np.zeros((8, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("relabel", [True, False])
@pytest.mark.parametrize("name", ["l2tl", "l2tl_frozen"])
def test_with_pretrain_the_weights_pretrain_the_model_that_goes_on(
    tmp_path, monkeypatch, name, relabel
):
    settings = config_lib.L2tl(
        steps=4, policy_warmup=1, pretrain=True, relabel=relabel
    )
    run, steps = helpers.seed_run(tmp_path, l2tl=settings)
    starts = []
    restart = l2tl._restart

    def spy(run, trainer, part, start):
        starts.append(start)
        restart(run, trainer, part, start)

    monkeypatch.setattr(l2tl, "_restart", spy)
    monkeypatch.setattr(run, "pretrain_unweighted", None)
    METHODS[name](run)
    assert sum(steps) == sum(METHODS[name].stages(run.config).values())
    learned = ImportanceWeights(8)
    learned.assign(run.learned["weights"], run.source.prior)
    relation = np.array(run.models.joint.model.relation)
    assert relation.any() == relabel
    expected = run.pretrain(learned, estimate=False)
    assert helpers.equal_states(starts[-1], expected)
    if name == "l2tl":
        assert helpers.equal_states(starts[0], run.train_generalist())


def test_learned_weights_draw_no_image_oftener_than_allowed(
    tmp_path, monkeypatch
):
    run, _ = helpers.seed_run(
        tmp_path,
        datl=config_lib.Datl(repeats=4.0, temper=3.0),
        l2tl=config_lib.L2tl(pretrain=True, policy_warmup=1, steps=4),
    )
    monkeypatch.setattr(SeedRun, "passes", 2.0)
    drawn = []
    pretrain = run.pretrain

    def spy(importance, estimate):
        drawn.append(importance.numpy())
        return pretrain(importance, estimate)

    monkeypatch.setattr(run, "pretrain", spy)
    weights = np.array([3, 2, 1, 1, 1, 0, 0, 0])
    l2tl.train_weighted(run, weights, 1.0)
    # At most twice the mean: what is above goes to the next classes.
    np.testing.assert_allclose(drawn, [[2, 2, 4 / 3, 4 / 3, 4 / 3, 0, 0, 0]])
    assert run.learned["weights"] == weights.tolist()


@pytest.mark.slow
def test_a_share_of_one_trains_jointly_to_the_end(tmp_path):
    settings = config_lib.L2tl(joint_share=1.0, steps=4, policy_warmup=1)
    run, steps = helpers.seed_run(tmp_path, l2tl=settings)
    l2tl.train_uniform(run)
    assert "finetuning" not in run.cache.history
    assert sum(steps) == 20 + 4 + 2 * 4


@pytest.mark.slow
def test_weights_are_learned_from_the_train_and_validation_parts(tmp_path):
    run, steps = helpers.seed_run(tmp_path)
    weights, scale = l2tl.learn_weights(run)
    assert weights @ run.source.prior == pytest.approx(1)
    assert (weights != weights[0]).any()
    assert 0 < scale < 1
    history = run.cache.history["learning"]
    assert len(history["reward"]) == 2
    assert "baseline" not in history
    # At the start, which is flat but for DATL's weights, and after each epoch.
    assert np.shape(history["class_weights"]) == (3, 8)
    np.testing.assert_allclose(history["class_weights"][-1], weights, atol=1e-4)
    assert history["expected_scale"][0] == pytest.approx(0.5)
    assert history["expected_scale"][-1] == pytest.approx(scale)
    assert sum(steps) == 20 + 4 + 4


@pytest.mark.slow
def test_learning_can_start_from_datl(tmp_path):
    settings = config_lib.L2tl(start="datl", policy_warmup=4, steps=4)
    run, _ = helpers.seed_run(tmp_path, l2tl=settings)
    importance = run.importance()
    importance.update(run.estimate_target_prior().prior, run.source.prior)
    run.config.l2tl.policy_learning_rate = 1e-9
    weights, _ = l2tl.learn_weights(run)
    order = np.argsort(importance.numpy())
    assert (np.diff(weights[order]) > -1e-4).all()
    assert run.models.learner.model.policy.start is not None


@pytest.mark.parametrize("start", ["flat", "datl"])
def test_a_frozen_policy_gives_the_weights_where_it_starts(tmp_path, start):
    settings = config_lib.L2tl(steps=4, policy_warmup=1, start=start)
    run, steps = helpers.seed_run(tmp_path, l2tl=settings)
    weights, _ = l2tl.learn_weights(run, frozen=True)
    assert sum(steps) == 20 * (start == "datl")
    assert "learning" not in run.cache.history
    expected = ones(run)
    if start == "datl":
        importance = run.importance()
        importance.update(run.estimate_target_prior().prior, run.source.prior)
        expected = importance.numpy()
        assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(weights, expected, atol=0.2)


@pytest.mark.slow
def test_oversampling_takes_larger_source_batches(tmp_path):
    models = oversampling_models()
    settings = models.config.l2tl
    run, _ = helpers.seed_run(tmp_path, models=models, l2tl=settings)
    shapes = []
    fit = run.fit

    def recording(name, trainer, batches, *rest, **settings):
        if name == "learning":
            shapes.append(next(iter(batches(0)))["source"][1].shape)
        fit(name, trainer, batches, *rest, **settings)

    run.fit = recording
    weights, _ = l2tl.learn_weights(run)
    assert shapes == [(32,)]
    assert np.isfinite(weights).all()


@pytest.mark.slow
def test_mirrored_equals_one_device(tmp_path):
    states = []
    for strategy in ("none", "mirrored"):
        config = helpers.tiny_experiment(strategy=strategy)
        models = helpers.shared_models()
        if strategy == "mirrored":
            models = compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)
        run, _ = helpers.seed_run(
            tmp_path / strategy, models=models, strategy=strategy
        )
        states.append(l2tl.train_weighted(run, np.arange(8.0), 0.5).state)
    for a, b in zip(*states, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("target", [None, helpers.blobs()])
def test_a_policy_that_would_never_learn_is_refused(target):
    settings = config_lib.L2tl(steps=4, policy_warmup=4)
    config = helpers.tiny_experiment(l2tl=settings)
    with pytest.raises(InputError, match=r"must be below.*Received: 4 of 4"):
        METHODS["l2tl"].check(config, target)
    METHODS["l2tl"].check(helpers.tiny_experiment(), target)
