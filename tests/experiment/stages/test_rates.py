import json

import numpy as np
import pytest

from tests import helpers
from tf_transfer.config import Training
from tf_transfer.errors import InputError
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.stages import rates
from tf_transfer.experiment.stages.optimizers import RECIPES
from tf_transfer.experiment.stages.trainers import Trainer

STAGE = Training(steps=310, batch_size=8)


@pytest.fixture
def trainer():
    return Trainer(helpers.tiny_classifier(), [30])


@pytest.fixture
def folder(tmp_path):
    with RunFolder(tmp_path / "run", helpers.tiny_experiment()) as folder:
        yield folder


def test_a_rate_at_which_a_model_learns_is_found_once(
    trainer, folder, monkeypatch
):
    start, source = trainer.state(), helpers.blobs()
    best = rates.settle(trainer, lambda: start, source, STAGE, folder)
    content = json.loads((folder.path / rates.NAME).read_text())
    tried = {entry["rate"]: entry["loss"] for entry in content["tried"]}
    assert list(tried) == list(RECIPES["sgd"].source)
    assert content["rate"] == min(tried, key=tried.get) == best
    assert min(tried.values()) < np.log(4)  # better than chance
    monkeypatch.setattr(rates, "find", None)
    assert rates.settle(trainer, lambda: start, source, STAGE, folder) == best


def test_a_rate_that_is_given_is_not_looked_for(folder, monkeypatch):
    monkeypatch.setattr(rates, "find", None)
    stage = Training(steps=60, learning_rate=0.5)
    assert rates.settle(None, None, None, stage, folder) == 0.5
    assert rates.read(folder) is None


@pytest.mark.parametrize("loss", [np.inf, 1.0])
def test_rates_that_diverge_are_not_chosen(folder, monkeypatch, loss):
    losses = {0.1: loss, 0.3: np.inf}
    monkeypatch.setattr(rates, "find", lambda *_: losses)
    if np.isfinite(loss):
        rates.settle(None, dict, None, STAGE, folder)
        assert rates.read(folder) == 0.1
        return
    with pytest.raises(InputError, match=r"diverges at every.*0\.1, 0\.3"):
        rates.settle(None, dict, None, STAGE, folder)
    assert rates.read(folder) is None


@pytest.mark.parametrize("content", ["[]", '{"rate": -1}', '{"rate": "a"}'])
def test_a_damaged_file_is_one_sentence(folder, content):
    (folder.path / rates.NAME).write_text(content)
    with pytest.raises(InputError, match="rates"):
        rates.read(folder)
