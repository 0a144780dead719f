import inspect

import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment.methods import all_methods, joint_training


class Recorder:
    """A trial whose stages only say what they were asked for."""

    def __init__(self, monkeypatch, top_k=0):
        self.config = helpers.tiny_experiment(datl=config_lib.Datl(top_k=top_k))
        self.asked = {}
        self.target_prior = type("Prior", (), {"prior": np.array([0.5, 0.5])})
        for name in ("train_uniform", "train_weighted", "learn_weights"):
            monkeypatch.setattr(joint_training, name, self._saying(name))

    def _saying(self, name):
        def say(trial, *given, **named):
            assert trial is self
            self.asked[name] = given, named
            return ("weights", "scale") if name == "learn_weights" else name

        return say

    def random_state(self):
        return "random"

    def importance(self, **changes):
        return changes

    def pretrain(self, importance):
        return "weighted", importance

    def finetune(self, state, head=None):
        return state, head

    def finetune_unweighted(self, head):
        return "unweighted", head


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("scratch", ("random", "fresh")),
        ("finetune", ("unweighted", "fresh")),
        ("finetune_related", ("unweighted", "related")),
        ("datl", (("weighted", {}), None)),
        ("datl_uniform", (("weighted", {"temper": 0.0, "top_k": 2}), None)),
        ("datl_reversed", (("weighted", {"reverse": True}), None)),
        ("joint", "train_uniform"),
        ("l2tl", "train_weighted"),
        ("l2tl_frozen", "train_weighted"),
    ],
)
def test_what_each_method_asks_for(monkeypatch, name, outcome):
    trial = Recorder(monkeypatch)
    assert all_methods.METHODS[name](trial) == outcome
    if name.startswith("l2tl"):
        frozen = {"frozen": True} if name == "l2tl_frozen" else {}
        assert trial.asked == {
            "learn_weights": ((), frozen),
            "train_weighted": (("weights", "scale"), {}),
        }


def test_the_uniform_control_takes_the_classes_that_top_k_would(monkeypatch):
    trial = Recorder(monkeypatch, top_k=7)
    (_, importance), _ = all_methods.datl_uniform(trial)
    assert importance == {"temper": 0.0, "top_k": 7}


def test_the_default_experiment_runs_them_all_and_each_says_what_it_does():
    assert config_lib.Experiment().methods == tuple(all_methods.METHODS)
    for name, method in all_methods.METHODS.items():
        assert method.__name__ == name
        assert inspect.getdoc(method).endswith(".")


def test_only_the_head_differs_between_fine_tuning_and_its_control(tmp_path):
    tuning = config_lib.FineTuning(
        steps=4, batch_size=8, learning_rates=(1e-9,)
    )
    made, steps = helpers.seed_run(tmp_path, finetuning=tuning)
    fresh = all_methods.finetune(made).state
    spent = sum(steps)
    related = all_methods.finetune_related(made).state
    assert sum(steps) - spent == 2 * 4
    for one, other in zip(fresh[:-2], related[:-2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert not helpers.equal_states(fresh[-2:], related[-2:])
