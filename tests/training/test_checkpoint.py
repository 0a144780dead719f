import os
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tests.helpers import SOURCE, TARGET, VALIDATION, arrays
from tf_transfer.data import shuffling
from tf_transfer.errors import InputError, Stopped
from tf_transfer.experiment.methods.l2tl import PolicyLog
from tf_transfer.training import distribution
from tf_transfer.training.checkpoint import Resume


class Interrupt(keras.callbacks.Callback):
    """Raises after this many steps, before anything is saved."""

    def __init__(self, steps, error=KeyboardInterrupt):
        super().__init__()
        self.remaining = steps
        self.error = error

    def on_train_batch_end(self, batch, logs=None):
        self.remaining -= 1
        if not self.remaining:
            raise self.error


def dense_encoder():
    """An encoder with dropout, which is traced quickly."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dropout(0.3),
        ]
    )


class Classifier:
    """A classifier with dropout, trained with DATL's weights."""

    fresh = True

    def __init__(self):
        keras.utils.set_random_seed(0)
        self.model = tt.classifier(dense_encoder(), 8)
        self.model.build((None, 8, 8, 1))
        self.model.compile("adam", helpers.LOSS, metrics=["accuracy"])
        self.weights = tt.ImportanceWeights(8)
        self.also = [self.weights]
        self.callbacks = [
            tt.DATL(self.weights, TARGET.batches(16), SOURCE.prior)
        ]

    def data(self, start):
        return SOURCE.gather(
            self.weights.draw(SOURCE.labels, batch_size=8, seed=1, start=start)
        )


class Joint:
    """L2TL with a policy that learns."""

    fresh = False
    also = ()

    def __init__(self):
        keras.utils.set_random_seed(0)
        self.model = tt.L2TL(dense_encoder(), 8, 4, policy_warmup=3)
        self.model.compile("adam", "adam", metrics=["accuracy"])
        self.callbacks = [PolicyLog(SOURCE.prior)]

    def data(self, start):
        source, target = (
            images.gather(
                shuffling.shuffled(
                    len(images.labels), batch_size=8, seed=0, start=start
                )
            )
            for images in (SOURCE, TARGET)
        )
        return tt.streams(source, target, VALIDATION.batches(16))


class Small:
    """Few layers, for what does not depend on the model."""

    fresh = False
    also = callbacks = ()

    def __init__(self):
        keras.utils.set_random_seed(0)
        self.model = keras.Sequential(
            [
                keras.Input((2,)),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(4),
            ]
        )
        self.model.compile("adam", helpers.LOSS)

    def data(self, start):
        batch = np.ones((8, 2), np.float32), np.arange(8) % 4
        return tf.data.Dataset.from_tensors(batch).repeat()


def train(kind, folder, *interruptions, epochs=3, every=4):
    """Trains six steps an epoch; returns the training and its `Resume`."""
    training = kind()
    resume = Resume(training.model, folder, every=every, also=training.also)
    for start, span in resume.spans(epochs, 6, training.fresh):
        training.model.fit(
            training.data(start),
            callbacks=[*training.callbacks, *interruptions, resume],
            verbose=0,
            shuffle=False,
            **span,
        )
    return training, resume


def all_arrays(training, resume):
    """The values of all variables that a checkpoint holds."""
    extra = [v for each in training.also for v in each.variables]
    return arrays([*resume._variables(), *extra])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished training of `Joint`, its `Resume`, and its folder."""
    folder = tmp_path_factory.mktemp("finished")
    return *train(Joint, folder), folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the folder of `finished`."""
    return shutil.copytree(finished[2], tmp_path / "run")


@pytest.mark.parametrize(
    ("kind", "interruptions"),
    [
        (Small, (6, 5, 4, 2)),
        (Classifier, (5,)),
        (Joint, (5, 9)),  # the last checkpoint is at the end of an epoch
    ],
)
@pytest.mark.slow
def test_an_interrupted_training_ends_bitwise_the_same(
    kind, interruptions, tmp_path, finished
):
    whole = finished[:2] if kind is Joint else train(kind, tmp_path / "whole")
    for steps in interruptions:
        with pytest.raises(KeyboardInterrupt):
            train(kind, tmp_path / "broken", Interrupt(steps))
    broken = train(kind, tmp_path / "broken")
    assert whole[1].step == broken[1].step == 18
    for one, other in zip(all_arrays(*whole), all_arrays(*broken), strict=True):
        np.testing.assert_array_equal(one, other)
    one, other = whole[1].history(), broken[1].history()
    assert list(one) == list(other)
    assert len(one["loss"]) == 3
    for name in one:
        assert one[name] == other[name], name


def test_a_finished_training_is_only_loaded(finished, run):
    first, again = finished[:2], train(Joint, run, Interrupt(1))
    for one, other in zip(all_arrays(*first), all_arrays(*again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again[1].history() == first[1].history()
    assert again[1].seconds > 0


def test_logs_that_some_epochs_lack_are_in_the_history():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    pair = np.ones((4, 2)), np.ones((4, 1))
    resume = Resume(model, folder=None)
    model.fit(
        *pair,
        validation_data=pair,
        validation_freq=[2],
        epochs=3,
        callbacks=[resume],
        verbose=0,
    )
    history = resume.history()
    assert len(history["loss"]) == 3
    assert len(history["val_loss"]) == 1


def test_the_seconds_of_earlier_runs_count(tmp_path):
    resume = Resume(Small().model, tmp_path)
    resume.seconds = 1000.0
    resume.save()
    assert Resume(Small().model, tmp_path).seconds >= 1000


@pytest.mark.parametrize("kind", [Classifier, Small])
def test_a_callback_may_end_the_training(kind):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    _, resume = train(kind, None, Stop(), epochs=3)
    assert resume.step == 12


def test_keeps_the_newest_and_skips_a_damaged_one(run):
    newest = run / "step-18.data-00000-of-00001"
    names = {path.name for path in run.glob("*.index")}
    assert names == {"step-16.index", "step-18.index"}
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes(content)
    model = Joint().model
    start = arrays(model.variables)
    with pytest.warns(UserWarning, match=r"step-18 is damaged"):
        assert Resume(model, run).step == 16
    for path in run.glob("*.data*"):
        path.write_bytes(path.read_bytes()[:50])
    model = Joint().model
    with pytest.warns(UserWarning, match="damaged"):
        assert Resume(model, run).step == 0
    for one, other in zip(start, model.variables, strict=True):
        np.testing.assert_array_equal(one, np.array(other))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Classifier, Joint])
@pytest.mark.parametrize("steps", [5, 6, 18])  # the last two end an epoch
def test_sigterm_saves_and_stops(kind, steps, tmp_path):
    class Terminate(Interrupt):
        def on_train_batch_end(self, batch, logs=None):
            self.remaining -= 1
            if not self.remaining:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped):
        train(kind, tmp_path / "broken", Terminate(steps), every=100)
    assert signal.getsignal(signal.SIGTERM) is before
    assert (tmp_path / "broken" / f"step-{steps}.index").exists()
    whole, broken = (
        train(kind, tmp_path / name) for name in ("whole", "broken")
    )
    for one, other in zip(all_arrays(*whole), all_arrays(*broken), strict=True):
        np.testing.assert_array_equal(one, other)
    one, other = whole[1].history(), broken[1].history()
    assert one["loss"] == other["loss"]


def test_sigterm_after_the_last_step_raises_stopped(tmp_path):
    class Terminate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        train(Small, tmp_path, Terminate())
    assert Resume(Small().model, tmp_path).step == 18
    train(Small, tmp_path)


def test_ctrl_c_restores_the_signal_handler():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train(Small, None, Interrupt(2))
    assert signal.getsignal(signal.SIGTERM) is before


def test_nan_loss_names_step_and_batch_and_keeps_the_last_checkpoint(tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations.numpy() == 9:
                head = self.model.layers[-1]
                head.bias.assign(head.bias * np.nan)

    sentence = (
        r"Training diverged at step 10 \(batch 4 of its epoch\); lower the "
        r"learning rate; the checkpoint of step 8 is kept. Received: loss=nan"
    )
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InputError, match=sentence):
        train(Small, tmp_path, Spoil())
    assert signal.getsignal(signal.SIGTERM) is before
    assert Resume(Small().model, tmp_path).step == 8


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    model = Small().model
    resume = Resume(model, tmp_path)
    model.layers[-1].bias.assign(np.full(4, np.inf))
    with pytest.raises(InputError, match=r"diverged at step 0.*bias"):
        resume.save()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_lost_in_a_save_is_not_reported_as_a_bad_folder(
    tmp_path, monkeypatch, workers
):
    """All workers of a cluster save together, by collective operations."""
    resume = Resume(Small().model, tmp_path)
    lost = tf.errors.UnavailableError(None, None, "connection reset")

    def save(*args, **kwargs):
        raise lost

    monkeypatch.setattr(tf.train.Checkpoint, "write", save)
    monkeypatch.setattr(distribution, "num_workers", lambda scope: workers)
    monkeypatch.setattr(distribution, "is_chief", lambda scope: True)
    with pytest.raises((InputError, tf.errors.UnavailableError)) as raised:
        resume.save()
    assert isinstance(raised.value, InputError) == (workers == 1)


def test_refuses_checkpoints_of_another_model(run):
    with pytest.raises(InputError, match="of another model"):
        Resume(Classifier().model, run)


def test_refuses(tmp_path):
    model = Small().model
    with pytest.raises(InputError, match="`every` and `keep`"):
        Resume(model, tmp_path, every=0)
    with pytest.raises(InputError, match="built and compiled"):
        Resume(helpers.tiny_classifier(), tmp_path)
    model.steps_per_execution = 4
    sentence = "multiple of `steps_per_execution`, 4. Received: 6"
    with pytest.raises(InputError, match=sentence):
        next(Resume(model, None).spans(epochs=3, steps_per_epoch=6))
    (tmp_path / "file").write_text("")
    resume = Resume(model, tmp_path / "file")
    with pytest.raises(InputError, match="checkpoint cannot be written"):
        resume.save()


@pytest.mark.slow
def test_two_replicas_resume(tmp_path, mirrored):
    """Close, not bitwise: after a restore, replicas sum in another order."""

    def mirror():
        with mirrored.scope():
            return Joint()

    whole, _ = train(mirror, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(mirror, tmp_path / "broken", Interrupt(9))
    broken, _ = train(mirror, tmp_path / "broken")
    for one, other in zip(
        whole.model.variables, broken.model.variables, strict=True
    ):
        np.testing.assert_allclose(
            tf.convert_to_tensor(one), tf.convert_to_tensor(other), atol=1e-6
        )
