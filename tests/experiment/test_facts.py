import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment import compiled_models, facts
from tf_transfer.models import classifiers


def test_the_facts_by_hand(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    found = facts.forecast(run)
    # 20 steps of 16 for the generalist, 4 of 16 for the rest; 160 images.
    assert found.passes == pytest.approx(24 * 16 / 160)
    parameters = run.models.source.model.count_params()
    assert found.images_per_parameter == pytest.approx(24 * 16 / parameters)
    assert found.labels == 4
    assert found.chance == 0.25
    weights = run.estimate_importance().numpy()
    ess = weights.sum() ** 2 / (8 * (weights**2).sum())  # equal shares
    assert found.ess == pytest.approx(ess, rel=1e-5)
    assert found.repeats == pytest.approx(4 * 16 / 160 / ess, rel=1e-5)


def test_the_neighbours_are_those_of_brute_force(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    images = run.target.test
    found = facts.nearest_neighbours(run, images)
    with run.models.generalist.loaded(run.train_generalist()) as model:
        encoder = classifiers.encoder_of(model)
        features = np.array(encoder(images.images / np.float32(255)))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    likeness = unit @ unit.T
    right = 0
    for i, row in enumerate(likeness):
        row[i] = -2  # not its own neighbour
        votes = images.labels[np.argsort(-row)[:5]]
        right += np.bincount(votes).argmax() == images.labels[i]
    assert found == pytest.approx(right / len(images.labels), abs=0.03)
    assert found > 0.4


@pytest.mark.parametrize("per_class", [2, 3, 4, 8])
def test_few_labels_are_enough_to_tell_what_is_apart(tmp_path, per_class):
    """Squares in different places, without noise."""
    run, _ = helpers.seed_run(tmp_path)
    images = run.target.test
    few = np.concatenate(
        [np.flatnonzero(images.labels == c)[:1] for c in range(4)]
    )
    copies = images.take(np.repeat(few, per_class))
    assert facts.nearest_neighbours(run, copies) == 1.0


def test_features_of_half_precision_are_compared(tmp_path):
    changes = {
        "encoder": config_lib.Encoder(
            width=4, form="flat", precision="mixed_bfloat16"
        )
    }
    models = compiled_models.CompiledModels(
        helpers.tiny_experiment(**changes), (8, 8, 1), 8, 4
    )
    run, _ = helpers.seed_run(tmp_path, models=models, **changes)
    assert 0 <= facts.nearest_neighbours(run, run.target.test) <= 1


def test_without_labels_or_neighbours_there_is_nothing_to_tell(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    images = run.target.test
    first = np.flatnonzero(images.labels == 0)
    alone = np.concatenate([first, np.flatnonzero(images.labels == 1)[:1]])
    assert facts.nearest_neighbours(run, images.take(alone)) is None
    unlabelled = images.take(first)
    unlabelled = tt.ImageData(unlabelled.images, unlabelled.labels, ["all"])
    assert facts.nearest_neighbours(run, unlabelled) is None
