import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands.export import Release
from tf_transfer.data import loaders, splits
from tf_transfer.errors import InputError
from tf_transfer.experiment import statistics


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run on a named target, digits in 0..16."""
    config = helpers.tiny_experiment(
        methods=("scratch", "datl", "l2tl"), seeds=2
    )
    folder = tmp_path_factory.mktemp("release") / "run"
    digits = tt.load("digits", 8, 1).take(np.arange(200))
    turned = digits.images.swapaxes(1, 2)  # else it would hold test images
    source = tt.ImageData(turned, digits.labels, digits.class_names)
    tt.compare(config, folder, source=source, quiet=True)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(finished, tmp_path / "run")


def known(version):
    extra = version / "assets.extra"
    folder = extra if extra.is_dir() else version
    return json.loads((folder / "provenance.json").read_text())


def test_raw_target_images_get_the_class_that_was_measured(run):
    """The test accuracy of the run, from the SavedModel and raw pixels."""
    release = Release(run, "datl")
    version = release.write()
    assert version == run / "export" / "2"  # after that of `compare`
    raw = loaders.load("digits")
    framed = tt.load("digits", 8, 1)
    test = splits.test_part(framed)
    signatures = tf.saved_model.load(str(version)).signatures
    images = raw.images[test][..., None].astype(np.float32)
    found = signatures["serving_default"](images=tf.constant(images))
    accuracy = (found["class_ids"][:, 0] == raw.labels[test]).numpy().mean()
    assert accuracy == pytest.approx(release.result["test"]["accuracy"])
    expected = tf.nn.softmax(release.model(framed.images[test] / 255))
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    assert found["class_names"][0, 0] == str(int(found["class_ids"][0, 0]))


def test_the_best_by_validation_is_chosen(run):
    results = json.loads((run / "results.json").read_text())
    for result in results:
        best = (result["method"], result["seed"]) == ("datl", 1)
        result["validation"]["accuracy"] = 0.9 if best else 0.5
    (run / "results.json").write_text(json.dumps(results))
    assert Release(run).result["method"] == "datl"
    assert Release(run).result["seed"] == 1
    assert Release(run, "scratch").result["method"] == "scratch"


def test_the_method_is_that_of_the_comparison(run):
    """The surer gain, not the more accurate method or the best seed."""
    validation = {
        ("finetune", 0): 0.80,
        ("finetune", 1): 0.80,
        ("datl", 0): 0.81,
        ("datl", 1): 0.99,
        ("l2tl", 0): 0.82,
        ("l2tl", 1): 0.83,
    }
    results = json.loads((run / "results.json").read_text())
    for result in results:
        method = result["method"].replace("scratch", "finetune")
        result["method"] = method
        result["validation"]["accuracy"] = validation[method, result["seed"]]
    config = json.loads((run / "config.json").read_text())
    config["methods"] = ["finetune", "datl", "l2tl"]
    (run / "results.json").write_text(json.dumps(results))
    (run / "config.json").write_text(json.dumps(config))
    assert statistics.choose(results, config["methods"]) == "l2tl"
    release = Release(run)
    assert (release.result["method"], release.result["seed"]) == ("l2tl", 1)
    assert Release(run, "datl").result["seed"] == 1


@pytest.mark.parametrize("method", ["scratch", "datl", "l2tl"])
def test_where_it_comes_from_is_written(run, method):
    release = Release(run, method)
    found = known(release.write())
    assert found["method"] == method
    assert found["source"] is None  # given as arrays
    assert found["target"] == "digits"
    assert 0 <= found["test"]["accuracy"] <= 1
    assert found["trained_with"]["keras"] == found["versions"]["keras"]
    assert found["framing"]["appearance"]["maximum"] == 16.0
    assert found["importance_weights"] == release.result.get("weights")
    if method == "scratch":
        assert found["importance_weights"] is None
    else:
        assert found["source_classes"] == [str(i) for i in range(10)]
        assert len(found["importance_weights"]) == 10


@pytest.mark.slow
def test_other_formats_lie_beside(run, tmp_path):
    release = Release(run, "datl")
    assert release.write("onnx") == run / "onnx" / "1"
    assert known(run / "onnx" / "1")["check"]["runtime"] == "ONNX Runtime"
    version = release.write("tflite", int8=True, out=tmp_path / "lite")
    assert version == tmp_path / "lite" / "1"
    assert known(version)["check"]["same_class"] > 0.5


def test_refuses_formats_it_does_not_have(run):
    release = Release(run)
    for arguments, message in (
        (("h5",), "format must be saved_model, tflite, onnx"),
        (("onnx", True), "int8 is for the format tflite"),
    ):
        with pytest.raises(InputError, match=rf"{message}.*Received: "):
            release.write(*arguments)
    release.run.data["target"] = None
    with pytest.raises(InputError, match="given them as arrays"):
        release.write("tflite", int8=True)
    other = helpers.blobs()
    np.savez(run / "other.npz", x_train=other.images, y_train=other.labels)
    release.run.data["target"] = f"npz:{run}/other.npz"
    with pytest.raises(InputError, match="no longer the data of the run"):
        release.write("tflite", int8=True)
    assert not (run / "tflite").exists()


def test_representative_images_are_of_the_classes_of_the_run(run):
    release = Release(run, "datl")
    images = release._representative()
    assert images.shape == (40, 8, 8, 1)
    settings = release.run.config["data"]
    assert settings.pop("target_classes") == []
    np.testing.assert_array_equal(release._representative(), images)
    settings["target_classes"] = ["3", "4"]
    with pytest.raises(InputError, match="no longer the data of the run"):
        release._representative()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "no run of `compare`"),
        ("config.json", "{}", "do not fit together"),
        ("config.json", "[]", "cannot be read"),
        ("results.json", None, "is not finished"),
        ("results.json", "[]", "is not finished"),
        ("results.json", "[3]", "do not fit together"),
        ("data.json", None, "is not finished"),
        ("data.json", '{"frame": 3}', "do not fit together"),
        ("data.json", "{", "cannot be read"),
        ("weights.csv", None, "cannot be read"),
        ("weights.csv", "seed,name\n0,a\n1,a\n", "cannot be read"),
        ("checkpoints/datl-0.keras", "", "cannot be loaded"),
        ("checkpoints/datl-0.keras", None, "no such model file"),
    ],
)
def test_refuses_a_damaged_run(run, name, content, message):
    shutil.copy(
        run / "checkpoints" / "datl-0.keras",
        run / "checkpoints" / "datl-1.keras",
    )
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    if name.startswith("checkpoints"):
        shutil.rmtree(run / "checkpoints")
        (run / "checkpoints").mkdir()
        if content is not None:
            for seed in range(2):
                path = run / "checkpoints" / f"datl-{seed}.keras"
                path.write_text(content)
    with pytest.raises(InputError, match=rf"{message}.*Received: "):
        Release(run, "datl")


def test_refuses_a_run_that_goes_on_and_a_method_it_has_not(run):
    with pytest.raises(InputError, match=r"datl, l2tl\. Received: 'no'"):
        Release(run, "no")
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(results[:-1]))
    with pytest.raises(InputError, match="is not finished"):
        Release(run)
