import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.data import splits
from tf_transfer.data.raw import loaders
from tf_transfer.experiment.records.run_data import FinishedRun


@pytest.fixture
def run(finished, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.slow
def test_the_chosen_model_is_the_one_that_all_seeds_taught(run):
    """Its accuracy is what its SavedModel has on the test images."""
    framed = tt.load("digits", 8, 1)
    share = FinishedRun.read(run).config.data.test_share
    test = framed.take(splits.test_part(framed, share))
    taught = json.loads((run / "taught.json").read_text())
    serve = tf.saved_model.load(str(run / "export" / "1")).signatures
    images = loaders.load("digits").images[splits.test_part(framed, share)]
    images = tf.constant(images[..., None].astype(np.float32))
    classes = serve["serving_default"](images=images)["class_ids"][:, 0]
    accuracy = (classes == test.labels).numpy().mean()
    assert taught["method"] == "l2tl"
    assert taught["test"]["accuracy"] == pytest.approx(accuracy)
