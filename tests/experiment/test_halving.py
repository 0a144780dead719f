import types

import pytest

from tests import helpers
from tf_transfer.experiment import halving
from tf_transfer.experiment.methods import METHODS

METHODS_IN_RACE = ("finetune_related", "scratch", "finetune", "datl", "l2tl")
ACCURACIES = {
    "finetune_related": (0.1, 0.1, 0.1, 0.1),
    "scratch": (0.2, 0.9, 0.9, 0.9),
    "finetune": (0.5, 0.1, 0.9, 0.9),
    "datl": (0.6, 0.4, 0.0, 0.0),
    "l2tl": (0.3, 0.9, 0.9, 0.9),
}


class Runner:
    """Trains in no time; remembers what it trained."""

    def __init__(self, methods=METHODS_IN_RACE, seeds=4):
        self.config = helpers.tiny_experiment(methods=methods, seeds=seeds)
        self.splits = dict.fromkeys(range(seeds))
        self.folder = types.SimpleNamespace(results=[])
        self.progress = types.SimpleNamespace(close=lambda: None)
        self.trained = []

    def settle_rate(self):
        pass

    def train_seed(self, seed, methods):
        self.trained.append(methods)
        done = {(r.method, r.seed) for r in self.folder.results}
        for method in methods:
            if (method, seed) in done:
                continue
            accuracy = ACCURACIES[method][seed]
            self.folder.results.append(helpers.result(method, seed, accuracy))


def test_each_seed_drops_the_worse_half_by_all_seeds_so_far():
    """The baseline does not compete: its accuracy is the lowest."""
    runner = Runner()
    methods, rounds = halving.search(runner)
    # After seed 1: datl (.6 + .4) / 2 is more than finetune's (.5 + .1) / 2.
    assert runner.trained == [
        METHODS_IN_RACE,
        ("finetune_related", "finetune", "datl"),
    ]
    assert methods == ("finetune_related", "datl")
    assert [each.kept for each in rounds] == [("datl", "finetune"), ("datl",)]
    assert list(rounds[0].accuracy) == ["datl", "finetune", "l2tl", "scratch"]
    assert rounds[1].accuracy["datl"] == pytest.approx(0.5)
    assert str(rounds[1]) == (
        "seed 1 of halving: datl 50.0, finetune 30.0 % of the validation "
        "images; datl goes on"
    )


def test_the_last_seed_keeps_one_method():
    methods, rounds = halving.search(Runner(seeds=1))
    assert methods == ("finetune_related", "datl")
    assert [each.kept for each in rounds] == [("datl",)]


@pytest.mark.parametrize(
    ("methods", "left"),
    [
        (("finetune_related",), ("finetune_related",)),
        (("datl", "l2tl"), ("datl",)),
        (("finetune", "datl"), ("finetune", "datl")),
    ],
)
def test_few_methods(methods, left):
    assert halving.search(Runner(methods))[0] == left


def test_controls_are_not_searched():
    assert halving.candidates(("datl", "datl_uniform", "joint")) == ("datl",)
    assert set(halving.candidates(tuple(METHODS))) == {
        name for name, method in METHODS.items() if method.candidate
    }


def test_a_search_that_is_given_again_decides_the_same():
    """In the second search the folder holds the results of later seeds."""
    runner = Runner()
    first = halving.search(runner)
    count = len(runner.folder.results)
    assert halving.search(runner) == first
    assert len(runner.folder.results) == count
