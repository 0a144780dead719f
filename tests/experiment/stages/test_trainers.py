import math

import keras
import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.config import Training
from tf_transfer.errors import InputError
from tf_transfer.experiment.stages import trainers


class Rates(keras.callbacks.Callback):
    """Collects the learning rate of every step."""

    def on_train_begin(self, logs=None):
        self.values = []

    def on_train_batch_begin(self, batch, logs=None):
        self.values.append(float(self.model.optimizer.learning_rate))

    def on_train_batch_end(self, batch, logs=None):
        self.iterations = int(self.model.optimizer.iterations)


def endless(batch_size):
    return lambda start: helpers.blobs().batches(batch_size).repeat()


def test_learning_rate_ramps_up_and_decays():
    rates = Rates()
    trainer = trainers.Trainer(helpers.tiny_classifier(), [1])
    stage = Training(steps=20, learning_rate=0.1)
    logs = trainer.fit(endless(6), stage, [rates]).history()
    assert len(rates.values) == 20
    assert rates.values[0] == pytest.approx(0.05)
    assert max(rates.values) == pytest.approx(0.1, rel=0.02)
    assert rates.values[-1] < 0.002
    assert np.all(np.diff(rates.values[1:]) < 0)
    assert len(logs["loss"]) == 10


@pytest.mark.parametrize(
    ("stages", "expected"),
    [([300], 10), ([80, 0, 32], 8), ([150], 5), ([7, 300], 1), ([], 10)],
)
def test_as_many_steps_at_once_as_divide_every_epoch(stages, expected):
    assert trainers.steps_per_execution(stages) == expected


@pytest.mark.parametrize("steps", [40, 35, 3])
@pytest.mark.slow
def test_a_stage_takes_its_steps_whatever_the_model_was_made_for(steps):
    rates = Rates()
    trainer = trainers.Trainer(helpers.tiny_classifier(), [40])
    resume = trainer.fit(
        endless(16), Training(steps=steps, learning_rate=0.05), [rates]
    )
    assert resume.step == steps
    epoch = steps // math.gcd(steps, 10)
    assert len(rates.values) == steps // math.gcd(4, epoch)
    assert rates.iterations == steps


@pytest.mark.slow
def test_steps_at_once_change_nothing_but_how_often_the_callbacks_are_called():
    stage = Training(steps=20, learning_rate=0.1)
    start, trained = helpers.tiny_classifier().get_weights(), []
    for stages in ([1], [20], [20]):
        trainer = trainers.Trainer(helpers.tiny_classifier(), stages)
        rates = Rates()
        with trainer.loaded(start):
            trainer.fit(endless(6), stage, [rates])
            trained.append((trainer.state(), rates.values))
            trainer.fit(
                endless(6), Training(steps=7, learning_rate=0.05)
            )  # traced again
    for state, values in trained[1:]:
        assert values == trained[0][1][::2]
        for one, other in zip(state, trained[0][0], strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_large_model_takes_one_step_at_a_time(monkeypatch):
    monkeypatch.setattr(trainers, "_SMALL", 10)
    trainer = trainers.Trainer(helpers.tiny_classifier(), [20])
    assert trainer.steps_per_execution == 1


def classifier():
    return trainers.Trainer(helpers.tiny_classifier()), endless(16)


def learner(**settings):
    """An L2TL model whose policy learns, and its data."""
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu"),
        ]
    )
    model = tt.L2TL(encoder, 4, 4, policy_warmup=0)
    batches = endless(16)(0)
    data = tt.streams(batches, batches, batches)
    return trainers.L2TLTrainer(model, **settings), lambda start: data


def test_the_policy_has_a_learning_rate_of_its_own():
    trainer, _ = learner(policy_learning_rate=0.5)
    assert float(trainer.model.policy_optimizer.learning_rate) == 0.5


@pytest.mark.parametrize("make", [classifier, learner])
def test_a_reused_model_trains_like_a_new_one(make):
    trainer, data = make()
    stage = Training(steps=5, learning_rate=0.05)
    start = trainer.state()
    trainer.fit(data, stage)
    first = trainer.state()
    with trainer.loaded(start):
        trainer.fit(data, stage)
    for one, other in zip(first, trainer.state(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((a != b).any() for a, b in zip(start, first, strict=True))


def test_what_else_is_kept_comes_back_from_the_folder(tmp_path):
    trainer, data = classifier()
    importance, again = tt.ImportanceWeights(4), tt.ImportanceWeights(4)
    importance.update([0.7, 0.1, 0.1, 0.1], np.full(4, 0.25))
    for weights in (importance, again):
        settings = {"folder": tmp_path, "also": [weights]}
        trainer.fit(data, Training(steps=1, learning_rate=0.05), **settings)
    np.testing.assert_array_equal(again.numpy(), importance.numpy())


@pytest.mark.parametrize(("fresh", "starts"), [(False, [0]), (True, [0, 2])])
def test_fresh_data_is_asked_for_in_every_epoch(fresh, starts):
    trainer, data = classifier()
    steps = []

    def batches(start):
        steps.append(start)
        return data(start)

    trainer.fit(batches, Training(steps=4, learning_rate=0.05), fresh=fresh)
    assert steps == starts


def test_the_optimizer_is_that_of_the_paper():
    optimizer, *_ = classifier()[0].optimizers()
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)
    assert optimizer.weight_decay == 5e-3


def test_the_schedule_by_hand():
    schedule = trainers.WarmupCosine()
    schedule.plan(0.4, 20)
    rates = [float(schedule(step)) for step in (0, 1, 10, 20)]
    # A ramp of two steps; the cosine at 1/20, a half and the end.
    expected = [0.2, 0.4 * (1 + math.cos(math.pi / 20)) / 2, 0.2, 0.0]
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-9)


def test_learns_and_predicts():
    images = helpers.blobs()
    trainer = trainers.Trainer(helpers.tiny_classifier())
    trainer.fit(endless(16), Training(steps=60, learning_rate=0.05))
    right = trainer.logits(images.batches()).argmax(axis=1) == images.labels
    assert right.mean() > 0.9


@pytest.mark.parametrize(("peak", "steps"), [(0, 5), (0.1, 0)])
def test_schedule_refuses(peak, steps):
    with pytest.raises(InputError, match="`peak` and `steps`"):
        trainers.WarmupCosine().plan(peak, steps)
