import numpy as np
import pytest

from tests import helpers
from tests.experiment.methods.test_datl_examples import weights_in_training
from tf_transfer import config as config_lib
from tf_transfer.errors import InputError
from tf_transfer.experiment.methods import METHODS, datl_clusters

DATA = {"image_size": 8, "channels": 1, "augment": "none", "clusters": 8}
DATA = config_lib.Data(**DATA, labels_per_class=4, validation_per_class=2)


def test_clusters_of_target_images_get_the_weight(tmp_path, monkeypatch):
    run, _ = helpers.seed_run(tmp_path, data=DATA)
    values = weights_in_training(run, monkeypatch, "datl_clusters")
    # The target has the first four of the eight source classes.
    relevant = run.source.labels < 4
    assert values[relevant].mean() > 1.2 * values[~relevant].mean()
    by_class = [values[run.source.labels == c].mean() for c in range(8)]
    np.testing.assert_allclose(run.learned["weights"], by_class, rtol=1e-4)


def test_the_control_gives_the_weights_to_other_images(tmp_path, monkeypatch):
    run, _ = helpers.seed_run(tmp_path, data=DATA)
    own, other = (
        weights_in_training(run, monkeypatch, name)
        for name in ("datl_clusters", "datl_clusters_random")
    )
    np.testing.assert_allclose(np.sort(own), np.sort(other), rtol=1e-5)
    assert not np.allclose(own, other)


def test_equal_weights_are_refused():
    config = config_lib.Experiment(
        examples=config_lib.Examples(temper=0.0, beliefs=True)
    )
    with pytest.raises(
        InputError, match=r"needs a positive `examples\.temper`"
    ):
        METHODS["datl_clusters"].check(config, None)


def test_ratios_are_shares_of_target_over_source(tmp_path):
    run, _ = helpers.seed_run(tmp_path, data=DATA)
    ratios = datl_clusters.cluster_ratios(run)
    # The mean over the source is the target's share in clusters, which is 1.
    assert ratios.mean() == np.float32(1) or abs(ratios.mean() - 1) < 1e-5
    counts = np.unique(ratios)
    assert len(counts) > 1
