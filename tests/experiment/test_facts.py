import numpy as np
import pytest

from tests import helpers
from tf_transfer.experiment import facts
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


def test_a_given_generalist_costs_nothing(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    run.config.generalist_path = "given.keras"
    assert facts.forecast(run).passes == pytest.approx(4 * 16 / 160)


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


@pytest.mark.parametrize("count", [0, 5])
def test_without_labels_or_neighbours_there_is_nothing_to_tell(tmp_path, count):
    run, _ = helpers.seed_run(tmp_path)
    images = run.target.test.take(np.arange(count or 16))
    if not count:  # as unlabelled images are loaded
        images = images.take(np.flatnonzero(images.labels == 0))
        images = type(images)(images.images, images.labels, ["all"])
    assert facts.nearest_neighbours(run, images) is None
