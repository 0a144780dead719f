import conftest
import numpy as np
import pytest

from tf_transfer import data, reloading
from tf_transfer.errors import InputError


@pytest.fixture
def known(tmp_path):
    """Configuration and names of a run on a file of images."""
    images = conftest.blobs(per_class=20)
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
    found = data.load(name, 8, 1)
    prints = {"target": found.fingerprint()}
    config = {"data": settings, "fingerprints": prints}
    return config, {"target": name}, found


def test_reloads_the_data_of_the_run(known):
    config, names, found = known
    again = reloading.reload(config, names, "target")
    np.testing.assert_array_equal(again.images, found.images)
    parts = reloading.split(config, again, seed=3)
    assert len(parts.train.labels) == len(parts.validation.labels) == 8
    assert len(parts.test.labels) == 40


def test_reloads_the_classes_that_were_chosen(known):
    config, names, found = known
    few = found.class_names[1:3]
    config["data"]["target_classes"] = few
    config["fingerprints"]["target"] = found.only(few).fingerprint()
    assert reloading.reload(config, names, "target").class_names == few


def test_refuses_what_is_not_the_data_of_the_run(known):
    config, names, _ = known
    with pytest.raises(InputError, match=r"as arrays.*Received: target"):
        reloading.reload(config, {"target": None}, "target")
    with pytest.raises(InputError, match=r"Received: .*absent"):
        reloading.reload(config, {"target": "npz:absent.npz"}, "target")
    config["fingerprints"]["target"] = "another"
    with pytest.raises(InputError, match="no longer the data of the run"):
        reloading.reload(config, names, "target")
