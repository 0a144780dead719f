import threading
import time

import keras
import numpy as np
import pytest

from tests import helpers
from tf_transfer.data import splits
from tf_transfer.experiment import runner
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.records.run_folder import (
    RunFolder,
    predictions_name,
)

SOURCE = helpers.blobs(per_class=20, classes=8)
TARGET = helpers.blobs(per_class=20, classes=4, seed=1)
ACCURACIES = {
    ("finetune", 0): 0.8,
    ("finetune", 1): 0.9,
    ("finetune_related", 0): 0.7,
    ("finetune_related", 1): 0.7,
}


class SeedRun:
    """A run of which only seed and head matter."""

    def __init__(self, models, source, target, seed, folder, *others):
        self.seed = seed
        _, self.head, *_ = others


def measure(method, run):
    """Measures a method in no time."""
    accuracy = ACCURACIES.get((method.name, run.seed), 0.5)
    head = method.head or run.head
    return helpers.result(method.name, run.seed, accuracy, head=head)


@pytest.fixture
def make_runner(tmp_path, monkeypatch):
    """Makes the runner of some seeds of one run, with its methods and head."""
    monkeypatch.setattr(runner, "SeedRun", SeedRun)
    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(runner.CompiledModels, "of", lambda *args: None)
    monkeypatch.setattr(runner.Runner, "_tells_forecast", False)
    monkeypatch.setattr(
        runner.TensorBoardWriter,
        "result",
        lambda self, result, settings: None,
    )

    def make(methods, head="chosen", seeds=(0, 1)):
        config = helpers.tiny_experiment(methods=methods, seeds=2)
        config.finetuning.head = head
        parts = {s: splits.split_target(TARGET, 4, 2, s) for s in seeds}
        folder = RunFolder(tmp_path / "run", config)
        return runner.Runner(config, folder, SOURCE, TARGET, parts, quiet=True)

    return make


def heads(run):
    """Trains, and returns the heads of the results in their order."""
    for _ in run.run():
        pass
    run.folder.refresh()
    results = sorted(run.folder.results, key=lambda result: result.seed)
    return [(r.method, r.seed, r.head) for r in results]


@pytest.mark.parametrize(
    ("first", "chosen"),
    [
        (0.8, "fresh"),  # .15 better, with a standard error of .05
        (0.6, "related"),  # .05 better, with one of .15
    ],
)
def test_the_others_wait_for_a_fresh_head_to_be_told_better(
    make_runner, monkeypatch, first, chosen
):
    monkeypatch.setitem(ACCURACIES, ("finetune", 0), first)
    methods = ("scratch", "finetune", "datl", "finetune_related")
    trained = heads(make_runner(methods))
    assert trained == [
        (name, seed, head)
        for seed in (0, 1)
        for name, head in (
            ("scratch", "fresh"),
            ("finetune", "fresh"),
            ("finetune_related", "related"),
            ("datl", chosen),
        )
    ]


@pytest.mark.parametrize(
    ("methods", "head", "expected"),
    [
        (("finetune", "datl"), "chosen", "related"),
        (("finetune", "datl", "finetune_related"), "related", "related"),
        (("datl", "finetune"), "fresh", "fresh"),
    ],
)
def test_where_nothing_is_to_be_chosen_nothing_waits(
    make_runner, methods, head, expected
):
    trained = heads(make_runner(methods, head))
    assert [name for name, seed, _ in trained if seed == 0] == list(methods)
    assert {h for name, _, h in trained if name == "datl"} == {expected}


def test_the_seeds_of_another_process_are_waited_for(make_runner, monkeypatch):
    monkeypatch.setattr(runner, "_PAUSE", 0.01)
    methods = ("finetune", "finetune_related", "datl")
    first = make_runner(methods, seeds=(0,))
    thread = threading.Thread(target=heads, args=(first,), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while len(first.folder.results) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert first.folder.result("datl", 0) is None
    trained = heads(make_runner(methods, seeds=(1,)))
    thread.join(timeout=60)
    assert ("datl", 1, "fresh") in trained
    assert first.folder.result("datl", 0).head == "fresh"


def test_the_model_that_is_saved_is_the_one_that_was_measured(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    result = runner.measure(METHODS["scratch"], run)
    path = run.folder.model_path("scratch", 0)
    model = keras.saving.load_model(path, compile=False)
    test = run.target.test
    logits = model.predict(test.images / np.float32(255), verbose=0)
    accuracy = (logits.argmax(axis=1) == test.labels).mean()
    assert result.test.accuracy == pytest.approx(accuracy)
    with np.load(run.folder.path / predictions_name("scratch", 0)) as file:
        assert (file["predicted"] == logits.argmax(axis=1)).all()
        assert (file["label"] == test.labels).all()
    assert "finetuning" in result.history


def test_each_method_pays_for_what_it_shares(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    run.train_generalist()
    run.pretrain_unweighted()
    result = runner.measure(METHODS["finetune"], run)
    assert result.seconds > run.cache._shared["unweighted"].seconds
