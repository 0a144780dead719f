import json

import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import export
from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError


@pytest.mark.slow
def test_a_refit_uses_the_test_images_too(tmp_path, capsys):
    config = helpers.tiny_experiment(methods=("datl",))
    config.data.source, config.data.target = "digits", "digits"
    config.data.source_classes = tuple("56789")
    config.data.target_classes = tuple("01234")
    config.generalist.learning_rate = 0.0
    run = tmp_path / "run"
    tt.compare(config, run, quiet=True)
    before = {path: path.read_bytes() for path in run.rglob("*.keras")}
    result, version = export.export(run, refit_on_all=True)
    assert (result.method, version) == ("datl", run / "export" / "2")
    origin = json.loads(
        (version / "assets.extra" / "provenance.json").read_text()
    )
    target = tt.load("digits", 8, 1).only(config.data.target_classes)
    assert origin["refit_on_all"] == len(target.labels)
    assert origin["seed"] is origin["test"] is origin["validation"] is None
    assert origin["expected_accuracy"]["mean"] == result.test.accuracy
    assert "with all 901 labelled" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in run.rglob("*.keras")}
    images = loaders.load("digits").images[:20, ..., None].astype(np.float32)
    outputs = [
        tf.saved_model.load(str(run / "export" / name))
        .signatures["serving_default"](images=tf.constant(images))[
            "probabilities"
        ]
        .numpy()
        for name in "12"
    ]
    assert not np.allclose(*outputs, atol=1e-3)
    with pytest.raises(InputError, match="both an ensemble and a refit"):
        export.export(run, ensemble=True, refit_on_all=True)


@pytest.mark.slow
def test_a_refit_needs_the_data(tmp_path):
    config = helpers.tiny_experiment(methods=("scratch",))
    tt.compare(config, tmp_path / "run", quiet=True, **helpers.domains())
    with pytest.raises(InputError, match="source as arrays"):
        export.export(tmp_path / "run", refit_on_all=True)
