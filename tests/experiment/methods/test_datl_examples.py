import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.datl.examples.scoring import ExampleScores
from tf_transfer.experiment.methods import METHODS, datl_examples
from tf_transfer.experiment.stages.stage_cache import StageCache

BELIEFS = config_lib.Examples(beliefs=True)


def weights_in_training(run, monkeypatch, name):
    """The examples' weights with which a method pre-trains."""
    found, pretrain = [], run.pretrain

    def remember(importance, estimate=True):
        found.append(importance.numpy())
        return pretrain(importance, estimate)

    monkeypatch.setattr(run, "pretrain", remember)
    METHODS[name](run)
    return found[0]


def fixed_scores(run, monkeypatch):
    """Scores that differ from example to example."""
    count = len(run.source.labels)
    ratios = np.linspace(0.5, 2, count, dtype=np.float32)
    monkeypatch.setattr(
        datl_examples,
        "score_examples",
        lambda *args, **settings: ExampleScores(ratios),
    )
    return ratios


@pytest.mark.parametrize("name", ["datl_examples", "datl_examples_shuffled"])
def test_classes_keep_the_shares_that_datl_gives_them(
    tmp_path, monkeypatch, name
):
    run, _ = helpers.seed_run(tmp_path, examples=BELIEFS)
    values = weights_in_training(run, monkeypatch, name)
    labels = run.source.labels
    found = np.bincount(labels, values) / len(labels)
    wanted = run.source.prior * run.estimate_importance().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    np.testing.assert_allclose(
        run.learned["weights"], run.estimate_importance().numpy(), rtol=1e-4
    )


def test_the_control_permutes_the_scores_of_a_class(tmp_path, monkeypatch):
    run, _ = helpers.seed_run(tmp_path)
    fixed_scores(run, monkeypatch)
    own, other = (
        weights_in_training(run, monkeypatch, name)
        for name in ("datl_examples", "datl_examples_shuffled")
    )
    assert not np.allclose(own, other)
    for label in range(run.source.num_classes):
        mine = run.source.labels == label
        np.testing.assert_allclose(
            np.sort(own[mine]), np.sort(other[mine]), rtol=1e-5
        )


def test_beliefs_are_squared(tmp_path, monkeypatch):
    """Half a belief is a quarter of the weight, inside a class."""
    run, _ = helpers.seed_run(tmp_path, examples=BELIEFS)
    count = len(run.source.labels)
    beliefs = np.where(np.arange(count) % 2, 0.5, 1.0).astype(np.float32)
    monkeypatch.setattr(
        datl_examples,
        "score_examples",
        lambda *args, **settings: ExampleScores(
            np.ones(count, np.float32), beliefs, run.source.labels
        ),
    )
    own = weights_in_training(run, monkeypatch, "datl_examples")
    for label in range(run.source.num_classes):
        mine = run.source.labels == label
        half, whole = (own[mine & (beliefs == b)] for b in (0.5, 1.0))
        if len(half) and len(whole):
            np.testing.assert_allclose(half[0] / whole[0], 0.25, rtol=1e-4)


def test_the_source_is_scored_once_for_both(tmp_path, monkeypatch):
    run, steps = helpers.seed_run(tmp_path)
    calls, score = [], datl_examples.score_examples

    def counted(*args, **settings):
        calls.append(settings["checkpoint"])
        return score(*args, **settings)

    monkeypatch.setattr(datl_examples, "score_examples", counted)
    run.train_generalist()
    before = sum(steps)
    METHODS["datl_examples"](run)
    planned = METHODS["datl_examples"].stages(run.config)
    assert sum(steps) - before == sum(planned.values()) - planned["generalist"]
    METHODS["datl_examples_shuffled"](run)
    assert len(calls) == 1
    assert calls[0].is_file()
    run.folder.forget_stages(run.seed)
    assert not calls[0].exists()


def test_scores_of_something_else_are_made_anew(tmp_path):
    run, _ = helpers.seed_run(tmp_path)
    path = datl_examples._checkpoint(run)
    path.write_bytes(b"nothing")
    scores = datl_examples.scores_of(run)
    assert len(scores.ratios) == len(run.source.labels)
    run.cache = StageCache(run.folder, run.seed)  # as another process has it
    again = datl_examples.scores_of(run)
    np.testing.assert_allclose(again.ratios, scores.ratios, rtol=1e-4)


@pytest.mark.parametrize("apply", ["draw", "resample", "elastic", "attach"])
def test_each_way_of_applying_follows_the_weights(tmp_path, monkeypatch, apply):
    """Examples with the larger scores are read more often, or weigh more."""
    run, _ = helpers.seed_run(
        tmp_path, datl=config_lib.Datl(apply=apply, temper=0.0)
    )
    ratios = fixed_scores(run, monkeypatch)
    images = run.source.images
    images[:, 0, 0, 0] = np.arange(len(images)) % 256  # to know them again
    batches, fit = [], run.fit

    def watched(name, trainer, source, *args, **settings):
        if name == "pretraining":
            batches.extend(source(0).take(400).as_numpy_iterator())
        return fit(name, trainer, source, *args, **settings)

    monkeypatch.setattr(run, "fit", watched)
    METHODS["datl_examples"](run)
    mass = np.zeros(len(images))
    for pixels, _, *weight in batches:
        numbers = np.rint(pixels[:, 0, 0, 0] * 255).astype(int)
        np.add.at(mass, numbers, weight[0] if weight else 1)
    assert np.corrcoef(mass, np.sqrt(ratios))[0, 1] > 0.6
    low, high = mass[: len(mass) // 4].sum(), mass[-len(mass) // 4 :].sum()
    assert high > 1.3 * low
