import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment import compiled_models
from tf_transfer.experiment.methods import METHODS


def settings(weight):
    return config_lib.FineTuning(
        steps=4, batch_size=8, learning_rates=(0.01,), source_loss=weight
    )


def test_without_a_source_loss_it_is_fine_tuning_with_a_related_head(tmp_path):
    changes = {"finetuning": settings(0.0)}
    models = compiled_models.CompiledModels(
        helpers.tiny_experiment(**changes), (8, 8, 1), 8, 4
    )
    run, _ = helpers.seed_run(tmp_path, models=models, **changes)
    expected = METHODS["finetune_related"](run)
    found = METHODS["co_tuning"](run)
    for a, b in zip(expected.state, found.state, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert found.validation.accuracy == expected.validation.accuracy


@pytest.mark.parametrize("name", ["co_tuning", "co_tuning_shuffled"])
def test_it_takes_the_planned_steps_and_ends_elsewhere(tmp_path, name):
    run, steps = helpers.seed_run(tmp_path, finetuning=settings(1.0))
    expected = METHODS["finetune_related"](run)
    before = sum(steps)
    outcome = METHODS[name](run)
    assert sum(steps) - before == 2 * 4
    assert not helpers.equal_states(outcome.state, expected.state)
    again = METHODS[name](run)
    assert helpers.equal_states(outcome.state, again.state)


def test_the_control_looks_at_other_source_classes(tmp_path):
    run, _ = helpers.seed_run(tmp_path, finetuning=settings(1.0))
    relations = []
    for name in ("co_tuning", "co_tuning_shuffled"):
        METHODS[name](run)
        relations.append(np.array(run.models.co_tuned.model.relation))
    right, shuffled = relations
    assert not np.array_equal(right, shuffled)
    np.testing.assert_array_equal(
        np.sort(right, axis=1), np.sort(shuffled, axis=1)
    )


def test_the_weighted_source_is_trained_once_for_all_methods(tmp_path):
    run, steps = helpers.seed_run(tmp_path, finetuning=settings(1.0))
    METHODS["datl"](run)
    weights, before = run.learned, sum(steps)
    run.learned = {}
    METHODS["datl_co_tuning"](run)
    assert run.learned == weights
    assert sum(steps) - before == 2 * 4
