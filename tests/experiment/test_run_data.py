import numpy as np
import pytest

from tests import helpers
from tf_transfer.data import image_data
from tf_transfer.errors import InputError
from tf_transfer.experiment import run_data
from tf_transfer.experiment.run_folder import FinishedRun


@pytest.fixture
def known(tmp_path):
    """A finished run on a file of images, and these."""
    images = helpers.blobs(per_class=20)
    path = tmp_path / "target.npz"
    np.savez(path, x_train=images.images, y_train=images.labels)
    name = f"npz:{path}"
    settings = {
        "image_size": 8,
        "channels": 1,
        "align": True,
        "max_pixels": 10**6,
        "labels_per_class": 4,
        "validation_per_class": 2,
    }
    found = image_data.load(name, 8, 1)
    prints = {"target": found.fingerprint()}
    config = {"data": settings, "fingerprints": prints}
    return FinishedRun(tmp_path, config, [], {"target": name}), found


def test_reloads_the_data_of_the_run(known):
    run, found = known
    again = run_data.reload(run, "target")
    np.testing.assert_array_equal(again.images, found.images)
    parts = run_data.split(run, again, seed=3)
    assert len(parts.train.labels) == len(parts.validation.labels) == 8
    assert len(parts.test.labels) == 40


def test_reloads_the_classes_that_were_chosen(known):
    run, found = known
    few = found.class_names[1:3]
    run.config["data"]["target_classes"] = few
    run.config["fingerprints"]["target"] = found.only(few).fingerprint()
    assert run_data.reload(run, "target").class_names == few


def test_refuses_what_is_not_the_data_of_the_run(known):
    run, _ = known
    run.config["fingerprints"]["target"] = "another"
    for name, message in (
        (run.data["target"], "no longer the data of the run"),
        (None, r"as arrays.*Received: target"),
        ("npz:absent.npz", r"Received: .*absent"),
    ):
        run.data["target"] = name
        with pytest.raises(InputError, match=message):
            run_data.reload(run, "target")
