import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import export, teaching
from tf_transfer.data import splits
from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError
from tf_transfer.experiment.records.run_data import FinishedRun


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run on a named target."""
    folder = tmp_path_factory.mktemp("teaching") / "run"
    return helpers.run_on_digits(folder, "finetune", "datl")


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
    assert taught["seeds"] == [0, 1]
    assert taught["test"]["accuracy"] == pytest.approx(accuracy)


@pytest.mark.slow
def test_a_method_that_was_not_chosen_has_no_such_model(run):
    finished = FinishedRun.read(run)
    chosen = export.choose(finished)
    (other,) = {"finetune", "datl"} - {chosen.method}
    assert export.taught_model(finished, chosen).method == chosen.method
    assert export.taught_model(finished, export.choose(finished, other)) is None


@pytest.mark.slow
def test_a_damaged_file_is_told(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "taught.json").write_text('{"method": 3, "seeds": [0]}')
    with pytest.raises(InputError, match=r"`taught\.\w+`"):
        teaching.Taught.read(FinishedRun.read(copy).files)
    (copy / "taught.json").unlink()
    assert teaching.Taught.read(FinishedRun.read(copy).files) is None
