import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment.methods import METHODS, baselines


class Run:
    """A run whose stages return the arguments that they were called with."""

    def random_state(self):
        return "random"

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
    ],
)
def test_where_each_baseline_starts(name, outcome):
    assert METHODS[name](Run()) == outcome


def test_the_fine_tunings_by_head():
    assert baselines.BY_HEAD == {
        "fresh": "finetune",
        "related": "finetune_related",
    }


def test_only_the_head_differs_between_fine_tuning_and_its_control(tmp_path):
    tuning = config_lib.FineTuning(
        steps=4, batch_size=8, learning_rates=(1e-9,)
    )
    run, steps = helpers.seed_run(tmp_path, finetuning=tuning)
    fresh = METHODS["finetune"](run).state
    before = sum(steps)
    related = METHODS["finetune_related"](run).state
    assert sum(steps) - before == 2 * 4
    for one, other in zip(fresh[:-2], related[:-2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert not helpers.equal_states(fresh[-2:], related[-2:])
