import dataclasses

import numpy as np
import pytest

from tests import helpers
from tests.experiment.records.test_run_data import INFO
from tf_transfer.data import loading
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import loaded_data
from tf_transfer.experiment.records.run_data import DataInfo, Run
from tf_transfer.utils.storage.folders import Folder


@pytest.fixture
def finished(tmp_path):
    """A finished run on a file of images, and these images."""
    images = helpers.blobs(per_class=20)
    path = tmp_path / "target.npz"
    np.savez(path, x_train=images.images, y_train=images.labels)
    name = f"npz:{path}"
    target = loading.load(name, 8, 1)
    run = Run(
        files=Folder(tmp_path),
        config=helpers.tiny_experiment(),
        fingerprints={"target": target.fingerprint()},
        results=[],
        data=DataInfo.from_json(INFO | {"target": name}),
    )
    return run, target


def changed(run, target=None, name="", classes=()):
    """The run with another target."""
    config = helpers.tiny_experiment()
    config.data.target_classes = tuple(classes)
    prints = {"target": target.fingerprint() if target else "another"}
    data = run.data
    if name != "":
        data = dataclasses.replace(data, target=name)
    return dataclasses.replace(
        run, config=config, fingerprints=prints, data=data
    )


def test_reloads_the_data_of_the_run(finished):
    run, target = finished
    again = loaded_data.reload(run, "target")
    np.testing.assert_array_equal(again.images, target.images)
    parts = loaded_data.split(run, again, seed=3)
    assert len(parts.train.labels) == len(parts.validation.labels) == 8
    assert len(parts.test.labels) == 16  # a fifth


def test_reloads_the_classes_that_were_chosen(finished):
    run, target = finished
    few = target.class_names[1:3]
    run = changed(run, target.only(few), classes=few)
    assert loaded_data.reload(run, "target").class_names == few


def test_refuses_what_is_not_the_data_of_the_run(finished):
    run, _ = finished
    for name, message in (
        ("", "no longer the data of the run"),
        (None, r"as arrays.*Received: target"),
        ("npz:absent.npz", r"Received: .*absent"),
    ):
        with pytest.raises(InputError, match=message):
            loaded_data.reload(changed(run, name=name), "target")
