import numpy as np
import pytest
import tensorflow as tf

from tests import helpers
from tf_transfer.config import Training
from tf_transfer.errors import InputError
from tf_transfer.experiment.stages import health
from tf_transfer.experiment.stages.fitter import StageFitter
from tf_transfer.experiment.stages.stage_cache import StageCache
from tf_transfer.experiment.stages.trainers import ProgressCallback, Trainer
from tf_transfer.training.tensorboard import TensorBoardWriter


@pytest.fixture
def fit():
    """Trains a stage at a rate; returns the trainer and the cache."""

    def call(rate, images=None):
        images = images or helpers.blobs()
        cache = StageCache(None, 3)
        nothing = ProgressCallback(lambda steps: None), TensorBoardWriter(None)
        fitter = StageFitter(cache, 3, *nothing, every=100)
        trainer = Trainer(helpers.tiny_classifier(), [30])
        indices = np.random.default_rng(0).integers(0, 120, (60, 16))
        batches = images.gather(
            tf.data.Dataset.from_tensor_slices(indices).repeat()
        )
        stage = Training(steps=60, learning_rate=rate)
        fitter.fit("tuning", trainer, images, lambda step: batches, stage)
        return trainer, cache

    return call


def test_a_stage_that_learns_is_trained_once(fit, capsys):
    _, cache = fit(0.05)
    assert (cache.failed, capsys.readouterr().err) == ({}, "")


def test_a_stage_that_diverges_is_trained_again_at_a_lower_rate(fit, capsys):
    trainer, cache = fit(30.0)
    failed = cache.failed["tuning"]
    assert failed == health.lower_rates(30.0)[: len(failed)]
    told = capsys.readouterr().err
    assert told.count("Warning: After tuning at the learning rate") == len(
        failed
    )
    assert "rate 30, the model of seed 3" in told
    again, _ = fit(30.0 / 3 ** len(failed))
    for one, other in zip(trainer.state(), again.state(), strict=True):
        assert np.isfinite(one).all()
        assert one.shape == other.shape


def test_what_never_learns_is_no_result(fit, monkeypatch, capsys):
    trouble = "gives all images the same outputs"
    monkeypatch.setattr(health, "trouble", lambda *_: trouble)
    with pytest.raises(InputError, match=f"The model {trouble}, at each of"):
        fit(0.05)
    assert capsys.readouterr().err.count("Warning") == 4


def test_equal_images_cannot_be_told_apart(fit, monkeypatch):
    monkeypatch.setattr(health, "trouble", None)
    images = helpers.blobs()
    equal = images.take(np.zeros(120, int))
    fit(0.05, equal)
