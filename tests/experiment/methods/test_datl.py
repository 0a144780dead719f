import types

import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment.methods import METHODS


class Changes(dict):
    """The shaping of weights that are all 1."""

    def numpy(self):
        return np.ones(3)


class Run:
    """A run whose stages return the arguments that they were called with."""

    def __init__(self, top_k=0):
        self.config = helpers.tiny_experiment(datl=config_lib.Datl(top_k=top_k))

    source = types.SimpleNamespace(prior=np.array([0.25, 0.25, 0.5]))
    cache = types.SimpleNamespace(share=lambda name, train: train())

    def estimate_importance(self):
        importance = tt.ImportanceWeights(3)
        importance.assign([2.0, 2.0, 0.0], self.source.prior)
        return importance

    def importance(self, **changes):
        return Changes(changes)

    def pretrain(self, importance):
        return [importance]

    def finetune(self, state):
        return state


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("datl", {}),
        ("datl_uniform", {"temper": 0.0, "top_k": 2}),
        ("datl_reversed", {"reverse": True}),
    ],
)
def test_the_weights_of_each_method(name, changes):
    assert METHODS[name](Run()) == [changes]


def test_the_uniform_control_takes_the_classes_that_top_k_would():
    assert METHODS["datl_uniform"](Run(top_k=7))[0]["top_k"] == 7
