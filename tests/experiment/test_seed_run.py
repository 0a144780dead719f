import keras
import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.errors import InputError
from tf_transfer.experiment import compiled_models
from tf_transfer.experiment.run_folder import predictions_path
from tf_transfer.models import classifiers


def test_generalist_is_trained_once_and_kept(tmp_path):
    first, steps = helpers.seed_run(tmp_path)
    state = first.generalist
    assert sum(steps) == 20
    again, steps = helpers.seed_run(tmp_path)
    assert helpers.equal_states(again.generalist, state)
    assert steps == []


def test_a_given_generalist_is_used_and_sets_the_encoder(tmp_path):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(7)(keras.layers.Flatten()(inputs))
    given = keras.Model(inputs, keras.layers.Dense(8)(outputs))
    path = str(tmp_path / "given.keras")
    given.save(path)
    config = helpers.tiny_experiment(generalist_path=path)
    bench = compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)
    made, steps = helpers.seed_run(tmp_path, bench=bench, generalist_path=path)
    assert helpers.equal_states(made.generalist, given.get_weights())
    outcome = made.finetune(made.pretrain(made.importance()))
    assert [value.shape for value in outcome.state][-2:] == [(7, 4), (4,)]
    assert sum(steps) == 4 + 2 * 4


@pytest.mark.parametrize("apply", ["draw", "resample", "elastic", "attach"])
def test_every_way_of_applying_the_weights_trains(tmp_path, apply):
    made, _ = helpers.seed_run(tmp_path, datl=config_lib.Datl(apply=apply))
    weighted = made.pretrain(made.importance())
    assert made.ledger.history["pretraining"]["datl_ess"][0] < 1
    assert not helpers.equal_states(weighted, made.pretrain(None))


@pytest.mark.parametrize("estimator", ["em", "bbse"])
def test_estimators_and_calibration(tmp_path, estimator):
    datl = config_lib.Datl(estimator=estimator, calibrate=True, every=1)
    made, _ = helpers.seed_run(tmp_path, datl=datl)
    assert made.target_prior.prior.sum() == pytest.approx(1)
    made.pretrain(made.importance())
    assert made.ledger.history["pretraining"]["datl_ess"][-1] < 1


def test_start_from_random_or_from_the_generalist(tmp_path):
    stage = config_lib.Training(steps=1, batch_size=4, learning_rate=1e-9)
    for start in ("random", "generalist"):
        made, _ = helpers.seed_run(
            tmp_path / start,
            datl=config_lib.Datl(start=start),
            pretraining=stage,
        )
        found = made.pretrain(made.importance())  # trains the generalist, too
        wanted = made.generalist
        if start == "random":
            wanted = made.random_state()
        for a, b in zip(wanted, found, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_head_first_leaves_the_encoder_alone(tmp_path):
    tuning = config_lib.FineTuning(
        steps=1, head_steps=3, batch_size=4, learning_rates=(1e-9,)
    )
    made, steps = helpers.seed_run(tmp_path, finetuning=tuning)
    state = made.random_state()
    outcome = made.finetune(state)
    for a, b in zip(state[:-2], outcome.state[:-2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert made.ledger.history["head"]["loss"]
    assert sum(steps) == 2 * 4


def test_learning_rate_is_chosen_on_validation_images(tmp_path):
    tuning = config_lib.FineTuning(
        steps=40, batch_size=8, learning_rates=(1e-7, 0.05)
    )
    made, _ = helpers.seed_run(tmp_path, finetuning=tuning)
    assert made.finetune(made.random_state()).learning_rate == 0.05


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
    bench = compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)
    two, _ = helpers.seed_run(
        tmp_path / "two", bench=bench, strategy="mirrored"
    )
    for made in (one, two):
        made.outcome = made.finetune(made.pretrain(made.importance()))
    for a, b in zip(one.outcome.state, two.outcome.state, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_measure_saves_the_model_it_measured(tmp_path):
    made, _ = helpers.seed_run(tmp_path)

    def method(trial):
        return trial.finetune(trial.random_state())

    result = made.measure("scratch", method)
    path = made.folder.model_path("scratch", 0)
    model = keras.saving.load_model(path, compile=False)
    test = made.target.test
    right = model.predict(test.images / np.float32(255), verbose=0)
    accuracy = (right.argmax(axis=1) == test.labels).mean()
    assert result.test.accuracy == pytest.approx(accuracy)
    with np.load(predictions_path(made.folder.path, "scratch", 0)) as said:
        assert (said["predicted"] == right.argmax(axis=1)).all()
        assert (said["label"] == test.labels).all()
    assert "finetuning" in result.history


def test_unweighted_pre_training_is_shared_and_each_method_pays(tmp_path):
    made, steps = helpers.seed_run(tmp_path)
    first = made.unweighted
    spent = sum(steps)
    logs = made.ledger.history.pop("pretraining")
    assert helpers.equal_states(made.unweighted, first)
    assert sum(steps) == spent
    assert made.ledger.history["pretraining"] == logs
    result = made.measure("finetune", lambda t: t.finetune(t.unweighted))
    assert result.seconds > made.ledger._shared["unweighted"][2]


def test_some_source_holds_every_class_and_at_most_twenty_images(tmp_path):
    made, _ = helpers.seed_run(tmp_path)
    ((_, labels),) = made.some_source
    np.testing.assert_array_equal(np.bincount(labels), [20] * 8)
    made.source = helpers.blobs(per_class=30, classes=8)
    del made.some_source
    ((_, labels),) = made.some_source
    np.testing.assert_array_equal(np.bincount(labels), [20] * 8)


def test_a_related_head_starts_from_what_the_images_look_like(tmp_path):
    made, _ = helpers.seed_run(tmp_path)
    source = made.bench.source.model
    images = made.target.train
    logits = keras.ops.convert_to_numpy(source(images.images / np.float32(255)))
    shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    relation = np.array(
        [shares[images.labels == c].mean(axis=0) for c in range(4)]
    )
    kernel, bias = made.target_head(images, "related")
    features = classifiers.encoder_of(source)(images.images / np.float32(255))
    np.testing.assert_allclose(
        features @ kernel + bias, logits @ relation.T, atol=1e-5
    )


def test_a_fresh_head_is_not_where_the_source_head_started(tmp_path):
    # With as many classes it would be half trained: a head stays near its
    # start, and the features have been trained for it.
    made, _ = helpers.seed_run(tmp_path)
    fresh, _ = made.target_head(made.source, "fresh")
    start = made.random_state()[-2]
    assert fresh.shape == start.shape
    assert abs(np.corrcoef(fresh.ravel(), start.ravel())[0, 1]) < 0.2


def test_a_fresh_head_is_drawn_by_the_seed(tmp_path):
    drawn = []
    for seed in (0, 0, 1):
        made, _ = helpers.seed_run(tmp_path / str(seed), seed=seed)
        drawn.append(made.target_head(made.target.train, "fresh"))
        state = made.random_state()
        found = made.tune(state, made.target.train, 1e-9, "fresh")
        for a, b in zip(state[:-2], found[:-2], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
    assert helpers.equal_states(drawn[0], drawn[1])
    assert not helpers.equal_states(drawn[0], drawn[2])


def test_a_head_that_cannot_be_related_is_a_sentence(tmp_path):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(7)(keras.layers.Flatten()(inputs))
    outputs = keras.layers.EinsumDense("ab,bc->ac", 8, name="odd")(outputs)
    path = str(tmp_path / "given.keras")
    keras.Model(inputs, outputs).save(path)
    config = helpers.tiny_experiment(generalist_path=path)
    bench = compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)
    made, steps = helpers.seed_run(tmp_path, bench=bench, generalist_path=path)
    wanted = r"set `finetuning.head=fresh`.*Received: EinsumDense 'odd'"
    with pytest.raises(InputError, match=wanted):
        made.finetune(made.generalist)
    assert steps == []
    made.head = "fresh"
    outcome = made.finetune(made.generalist)
    assert [value.shape for value in outcome.state][-2:] == [(7, 4), (4,)]


def test_what_methods_share_is_trained_once_and_paid_for_once(tmp_path):
    made, steps = helpers.seed_run(tmp_path)
    _ = made.generalist
    made.ledger.begin()
    images = made.target.train
    first = made.tuned("related", images, 0.02)
    spent = sum(steps)
    made.ledger.begin()
    for _ in range(3):
        assert made.tuned("related", images, 0.02) is first
    assert sum(steps) == spent
    shared = sum(seconds for *_, seconds in made.ledger._shared.values())
    assert made.ledger._borrowed == pytest.approx(shared)
    assert set(made.ledger.history) == {"pretraining", "finetuning"}
    assert made.tuned("fresh", images, 0.02) is not first
    assert made.tuned("related", made.target.labelled, 0.02) is not first
