import threading
import time

import pytest

from tests import helpers
from tf_transfer.data import splits
from tf_transfer.experiment import runner
from tf_transfer.experiment.run_folder import RunFolder

SOURCE = helpers.blobs(per_class=20, classes=8)
TARGET = helpers.blobs(per_class=20, classes=4, seed=1)
ACCURACIES = {
    ("finetune", 0): 0.8,
    ("finetune", 1): 0.9,
    ("finetune_related", 0): 0.7,
    ("finetune_related", 1): 0.7,
}


class SeedRun:
    """One whose methods are measured in no time."""

    def __init__(self, bench, source, target, seed, folder, advance, head, _):
        self.seed = seed
        self.head = head

    def measure(self, name, method):
        accuracy = ACCURACIES.get((name, self.seed), 0.5)
        return helpers.result(name, self.seed, accuracy)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes the rounds of some seeds of one run, with its methods and head."""
    monkeypatch.setattr(runner, "SeedRun", SeedRun)
    monkeypatch.setattr(runner.CompiledModels, "of", lambda *args: None)
    monkeypatch.setattr(
        runner.Records, "result", lambda self, result, settings: None
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
    found = sorted(run.folder.results, key=lambda result: result.seed)
    return [(r.method, r.seed, r.head) for r in found]


@pytest.mark.parametrize(
    ("first", "chosen"),
    [
        (0.8, "fresh"),  # .15 better, with a standard error of .05
        (0.6, "related"),  # .05 better, with one of .15
    ],
)
def test_the_others_wait_for_a_fresh_head_to_be_told_better(
    made, monkeypatch, first, chosen
):
    monkeypatch.setitem(ACCURACIES, ("finetune", 0), first)
    found = heads(made(("scratch", "finetune", "datl", "finetune_related")))
    assert found == [
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
    made, methods, head, expected
):
    found = heads(made(methods, head))
    assert [name for name, seed, _ in found if seed == 0] == list(methods)
    assert {h for name, _, h in found if name == "datl"} == {expected}


def test_the_seeds_of_another_process_are_waited_for(made, monkeypatch):
    monkeypatch.setattr(runner, "_PAUSE", 0.01)
    methods = ("finetune", "finetune_related", "datl")
    first = made(methods, seeds=(0,))
    thread = threading.Thread(target=heads, args=(first,), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while len(first.folder.results) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert first.folder.result("datl", 0) is None
    found = heads(made(methods, seeds=(1,)))
    thread.join(timeout=60)
    assert ("datl", 1, "fresh") in found
    assert first.folder.result("datl", 0).head == "fresh"
