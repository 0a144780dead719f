import keras
import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.data.splits import Part
from tf_transfer.errors import InputError
from tf_transfer.experiment import compiled_models
from tf_transfer.models import classifiers


def test_generalist_is_trained_once_and_kept(tmp_path):
    first, steps = helpers.seed_run(tmp_path)
    state = first.train_generalist()
    assert sum(steps) == 20
    again, steps = helpers.seed_run(tmp_path)
    assert helpers.equal_states(again.train_generalist(), state)
    assert steps == []


def test_a_given_generalist_is_used_and_sets_the_encoder(tmp_path):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(7)(keras.layers.Flatten()(inputs))
    generalist = keras.Model(inputs, keras.layers.Dense(8)(outputs))
    path = str(tmp_path / "its.keras")
    generalist.save(path)
    config = helpers.tiny_experiment(generalist_path=path)
    models = compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)
    run, steps = helpers.seed_run(tmp_path, models=models, generalist_path=path)
    state = run.train_generalist()
    assert helpers.equal_states(state, generalist.get_weights())
    outcome = run.finetune(run.pretrain(run.importance()))
    assert [value.shape for value in outcome.state][-2:] == [(7, 4), (4,)]
    assert sum(steps) == 4 + 2 * 4


@pytest.mark.parametrize("apply", ["draw", "resample", "elastic", "attach"])
@pytest.mark.slow
def test_every_way_of_applying_the_weights_trains(tmp_path, apply):
    run, _ = helpers.seed_run(tmp_path, datl=config_lib.Datl(apply=apply))
    weighted = run.pretrain(run.importance())
    assert run.cache.history["pretraining"]["datl_ess"][0] < 1
    assert not helpers.equal_states(weighted, run.pretrain(None))


@pytest.mark.parametrize("estimator", ["em", "bbse"])
def test_estimators_and_calibration(tmp_path, estimator):
    datl = config_lib.Datl(estimator=estimator, calibrate=True, every=1)
    run, _ = helpers.seed_run(tmp_path, datl=datl)
    assert run.estimate_target_prior().prior.sum() == pytest.approx(1)
    run.pretrain(run.importance())
    assert run.cache.history["pretraining"]["datl_ess"][-1] < 1


def test_weights_grow_over_the_pre_training(tmp_path):
    stage = config_lib.Training(steps=20, batch_size=4, learning_rate=0.01)
    datl = config_lib.Datl(growing=5, temper=2.0)
    run, _ = helpers.seed_run(tmp_path, datl=datl, pretraining=stage)
    weights = run.estimate_importance().numpy()
    run.pretrain(run.importance())
    largest = run.cache.history["pretraining"]["datl_largest_weight"]
    assert largest == sorted(largest)
    assert len(largest) == 10
    assert largest[4:] == [pytest.approx(weights.max(), rel=1e-5)] * 6
    assert largest[0] < largest[3] < largest[4]


@pytest.mark.slow
def test_start_from_random_or_from_the_generalist(tmp_path):
    stage = config_lib.Training(steps=1, batch_size=4, learning_rate=1e-9)
    for start in ("random", "generalist"):
        run, _ = helpers.seed_run(
            tmp_path / start,
            datl=config_lib.Datl(start=start),
            pretraining=stage,
        )
        state = run.pretrain(run.importance())  # trains the generalist, too
        expected = run.train_generalist()
        if start == "random":
            expected = run.random_state()
        for a, b in zip(expected, state, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_head_first_leaves_the_encoder_alone(tmp_path):
    tuning = config_lib.FineTuning(
        steps=1, head_steps=3, batch_size=4, learning_rates=(1e-9,)
    )
    run, steps = helpers.seed_run(tmp_path, finetuning=tuning)
    state = run.random_state()
    outcome = run.finetune(state)
    for a, b in zip(state[:-2], outcome.state[:-2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert run.cache.history["head"]["loss"]
    assert sum(steps) == 2 * 4


def test_learning_rate_is_chosen_on_validation_images(tmp_path):
    tuning = config_lib.FineTuning(
        steps=40, batch_size=8, learning_rates=(1e-7, 0.05)
    )
    run, _ = helpers.seed_run(tmp_path, finetuning=tuning)
    assert run.finetune(run.random_state()).learning_rate == 0.05


def test_seeds_differ_and_repeat(tmp_path):
    first = helpers.seed_run(tmp_path / "a")[0].pretrain(None)
    again = helpers.seed_run(tmp_path / "b")[0].pretrain(None)
    other = helpers.seed_run(tmp_path / "c", seed=1)[0].pretrain(None)
    assert helpers.equal_states(first, again)
    assert not helpers.equal_states(first, other)


@pytest.mark.slow
def test_mirrored_equals_one_device(tmp_path):
    one, _ = helpers.seed_run(tmp_path / "one")
    config = helpers.tiny_experiment(strategy="mirrored")
    models = compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)
    two, _ = helpers.seed_run(
        tmp_path / "two", models=models, strategy="mirrored"
    )
    for run in (one, two):
        run.outcome = run.finetune(run.pretrain(run.importance()))
    for a, b in zip(one.outcome.state, two.outcome.state, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_unweighted_pre_training_is_shared(tmp_path):
    run, steps = helpers.seed_run(tmp_path)
    first = run.pretrain_unweighted()
    before = sum(steps)
    logs = run.cache.history.pop("pretraining")
    assert helpers.equal_states(run.pretrain_unweighted(), first)
    assert sum(steps) == before
    assert run.cache.history["pretraining"] == logs


def test_repeats_limit_the_weights(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    prior = run.source.prior
    images = run.config.pretraining.steps * run.config.pretraining.batch_size
    passes = images / len(run.source.labels)
    run.config.datl.repeats = 2 * passes
    limited = run.importance()
    target = np.array([*[0.02] * 7, 0.86])
    limited.update(target, prior)
    assert limited.numpy().max() == pytest.approx(2, abs=1e-5)
    run.config.datl.shape = "cut"
    cut = run.importance()
    rising = np.arange(1, 9) / 36
    cut.update(rising, prior)
    np.testing.assert_allclose(cut.numpy(), [*[0] * 4, *[2] * 4], atol=1e-5)


def test_weights_may_be_given_instead_of_estimated(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    importance = run.importance()
    importance.assign(np.arange(8), run.source.prior)
    given = importance.numpy()
    run.pretrain(importance, estimate=False)
    np.testing.assert_array_equal(importance.numpy(), given)


def test_a_related_head_starts_from_what_the_images_look_like(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    source = run.models.source.model
    images = run.target.train
    logits = keras.ops.convert_to_numpy(source(images.images / np.float32(255)))
    shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    relation = np.array(
        [shares[images.labels == c].mean(axis=0) for c in range(4)]
    )
    kernel, bias = run.target_head(Part.TRAIN, "related")
    features = classifiers.encoder_of(source)(images.images / np.float32(255))
    np.testing.assert_allclose(
        features @ kernel + bias, logits @ relation.T, atol=1e-5
    )


def test_a_fresh_head_is_not_where_the_source_head_started(tmp_path):
    # With as many classes it would be half trained: a head stays near its
    # start, and the features have been trained for it.
    run, _ = helpers.seed_run(tmp_path)
    run.models.num_target_classes = run.models.num_source_classes
    fresh, _ = run.target_head(Part.TRAIN, "fresh")
    start = run.random_state()[-2]
    assert fresh.shape == start.shape
    assert abs(np.corrcoef(fresh.ravel(), start.ravel())[0, 1]) < 0.2


def test_a_fresh_head_is_drawn_by_the_seed(tmp_path):
    drawn = []
    for seed in (0, 0, 1):
        run, _ = helpers.seed_run(tmp_path / str(seed), seed=seed)
        drawn.append(run.target_head(Part.TRAIN, "fresh"))
        state = run.random_state()
        tuned = run.finetune_at(1e-9, state, Part.TRAIN, "fresh")
        for a, b in zip(state[:-2], tuned[:-2], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
    assert helpers.equal_states(drawn[0], drawn[1])
    assert not helpers.equal_states(drawn[0], drawn[2])


def test_a_head_that_cannot_be_related_is_a_sentence(tmp_path):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(7)(keras.layers.Flatten()(inputs))
    outputs = keras.layers.EinsumDense("ab,bc->ac", 8, name="odd")(outputs)
    path = str(tmp_path / "its.keras")
    keras.Model(inputs, outputs).save(path)
    config = helpers.tiny_experiment(generalist_path=path)
    models = compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)
    run, steps = helpers.seed_run(tmp_path, models=models, generalist_path=path)
    sentence = r"set `finetuning.head=fresh`.*Received: EinsumDense 'odd'"
    with pytest.raises(InputError, match=sentence):
        run.finetune(run.train_generalist())
    assert steps == []
    run.head = "fresh"
    outcome = run.finetune(run.train_generalist())
    assert [value.shape for value in outcome.state][-2:] == [(7, 4), (4,)]


def test_what_methods_share_is_trained_once_and_paid_for_once(tmp_path):
    run, steps = helpers.seed_run(tmp_path)
    run.train_generalist()
    run.cache.begin_method()
    first = run.finetune_unweighted_at(0.02, Part.TRAIN, "related")
    before = sum(steps)
    run.cache.begin_method()
    for _ in range(3):
        again = run.finetune_unweighted_at(0.02, Part.TRAIN, "related")
        assert again is first
    assert sum(steps) == before
    shared = sum(stage.seconds for stage in run.cache._shared.values())
    assert run.cache._seconds_before == pytest.approx(shared)
    assert set(run.cache.history) == {"pretraining", "finetuning"}
    for part, head in ((Part.TRAIN, "fresh"), (Part.LABELLED, "related")):
        assert run.finetune_unweighted_at(0.02, part, head) is not first


def test_a_state_is_not_lost_to_another(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    state, source = run.random_state(), run.models.source
    with (
        source.loaded(state),
        pytest.raises(RuntimeError, match="another state"),
        source.loaded(state),
    ):
        pass
    with source.loaded(state) as model:
        assert helpers.equal_states(state, source.state())
        assert model is source.model
