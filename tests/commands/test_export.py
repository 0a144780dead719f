import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import export
from tf_transfer.data import splits
from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError
from tf_transfer.experiment import statistics
from tf_transfer.experiment.records import results
from tf_transfer.experiment.records.run_data import FinishedRun
from tf_transfer.utils.storage.folders import Folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run on a named target, digits in 0..16."""
    folder = tmp_path_factory.mktemp("export") / "run"
    return helpers.run_on_digits(folder, "scratch", "datl", "l2tl")


@pytest.fixture
def run(finished, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(finished, tmp_path / "run")


def provenance(version):
    """Returns the content of an exported model's `provenance.json`."""
    extra = version / "assets.extra"
    folder = extra if extra.is_dir() else version
    return json.loads((folder / "provenance.json").read_text())


@pytest.mark.slow
def test_raw_target_images_get_the_class_that_was_measured(run):
    """The test accuracy of the run, from the SavedModel and raw pixels."""
    result, version = export.export(run, "datl")
    assert version == run / "export" / "2"  # after that of `compare`
    raw = loaders.load("digits")
    framed = tt.load("digits", 8, 1)
    test = splits.test_part(
        framed, FinishedRun.read(run).config.data.test_share
    )
    signatures = tf.saved_model.load(str(version)).signatures
    images = raw.images[test][..., None].astype(np.float32)
    outputs = signatures["serving_default"](images=tf.constant(images))
    accuracy = (outputs["class_ids"][:, 0] == raw.labels[test]).numpy().mean()
    assert accuracy == pytest.approx(result.test.accuracy)
    model = export.load(FinishedRun.read(run), result)
    expected = tf.nn.softmax(model(framed.images[test] / 255))
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    assert outputs["class_names"][0, 0] == str(int(outputs["class_ids"][0, 0]))


def test_the_first_seed_is_exported_whatever_its_validation_images(run):
    entries = json.loads((run / "results.json").read_text())
    for result in entries:
        best = (result["method"], result["seed"]) == ("datl", 1)
        result["validation"]["accuracy"] = 0.9 if best else 0.5
    (run / "results.json").write_text(json.dumps(entries))
    finished = FinishedRun.read(run)
    chosen = export.choose(finished)
    assert (chosen.method, chosen.seed) == ("datl", 0)
    assert export.choose(finished, "scratch").method == "scratch"


def test_an_ensemble_is_the_mean_of_the_seeds(run):
    _, version = export.export(run, "datl", ensemble=True)
    origin = provenance(version)
    assert origin["ensemble"] == [0, 1]
    assert origin["seed"] is origin["test"] is None
    finished = FinishedRun.read(run)
    results = [r for r in finished.results if r.method == "datl"]
    accuracies = [r.test.accuracy for r in results]
    expected = origin["expected_accuracy"]
    assert expected["mean"] == pytest.approx(np.mean(accuracies))
    assert expected["seeds"] == 2
    images = tt.load("digits", 8, 1).images[:20] / 255
    mean = np.mean(
        [tf.nn.softmax(export.load(finished, r)(images)) for r in results], 0
    )
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    raw = loaders.load("digits").images[:20, ..., None].astype(np.float32)
    outputs = served(images=tf.constant(raw))["probabilities"]
    np.testing.assert_allclose(outputs, mean, atol=1e-5)
    alone = provenance(export.export(run, "datl")[1])
    assert alone["ensemble"] is None


def test_the_method_is_that_of_the_comparison(run):
    """Not the more accurate method, nor the best seed of all."""
    validation = {
        ("finetune", 0): 0.80,
        ("finetune", 1): 0.80,
        ("datl", 0): 0.81,
        ("datl", 1): 0.99,
        ("l2tl", 0): 0.82,
        ("l2tl", 1): 0.83,
    }
    entries = json.loads((run / "results.json").read_text())
    for result in entries:
        method = result["method"].replace("scratch", "finetune")
        result["method"] = method
        result["validation"]["accuracy"] = validation[method, result["seed"]]
    config = json.loads((run / "config.json").read_text())
    config["methods"] = ["finetune", "datl", "l2tl"]
    (run / "results.json").write_text(json.dumps(entries))
    (run / "config.json").write_text(json.dumps(config))
    chosen = statistics.choose(results.read(Folder(run)), config["methods"])
    assert chosen == "l2tl"
    finished = FinishedRun.read(run)
    best = export.choose(finished)
    assert (best.method, best.seed) == ("l2tl", 0)
    assert export.choose(finished, "datl").seed == 0


@pytest.mark.parametrize("method", ["scratch", "datl", "l2tl"])
@pytest.mark.slow
def test_where_it_comes_from_is_written(run, method):
    result, version = export.export(run, method)
    origin = provenance(version)
    assert origin["method"] == method
    assert origin["source"] is None  # given as arrays
    assert origin["target"] == "digits"
    assert 0 <= origin["test"]["accuracy"] <= 1
    assert origin["trained_with"]["keras"] == origin["versions"]["keras"]
    assert origin["framing"]["appearance"]["maximum"] == 16.0
    if method == "l2tl":  # the choice, which all seeds have taught
        taught = json.loads((run / "taught.json").read_text())
        assert origin["taught_by"] == taught["seeds"] == [0, 1]
        assert origin["test"] == taught["test"]
        assert origin["seed"] is None
        assert origin["importance_weights"] is None
        return
    assert origin["taught_by"] is None
    assert origin["importance_weights"] == result.weights
    if method == "scratch":
        assert origin["importance_weights"] is None
    else:
        assert origin["source_classes"] == [str(i) for i in range(10)]
        assert len(origin["importance_weights"]) == 10


@pytest.mark.slow
def test_other_formats_lie_beside(run, tmp_path):
    _, version = export.export(run, "datl", "onnx")
    assert version == run / "onnx" / "1"
    assert provenance(version)["check"]["runtime"] == "ONNX Runtime"
    _, version = export.export(
        run, "datl", "tflite", int8=True, out=tmp_path / "lite"
    )
    assert version == tmp_path / "lite" / "1"
    assert provenance(version)["check"]["same_class"] > 0.5


def test_refuses_formats_it_does_not_have(run):
    for arguments, message in (
        (("h5",), "format must be saved_model, tflite, onnx"),
        (("onnx", True), "int8 is for the format tflite"),
    ):
        with pytest.raises(InputError, match=rf"{message}.*Received: "):
            export.export(run, None, *arguments)
    info = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(info | {"target": None}))
    with pytest.raises(InputError, match="given them as arrays"):
        export.export(run, None, "tflite", int8=True)
    other = helpers.blobs()
    np.savez(run / "other.npz", x_train=other.images, y_train=other.labels)
    info["target"] = f"npz:{run}/other.npz"
    (run / "data.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match="no longer the data of the run"):
        export.export(run, None, "tflite", int8=True)
    assert not (run / "tflite").exists()


def test_representative_images_are_of_the_classes_of_the_run(run):
    finished = FinishedRun.read(run)
    best = export.choose(finished, "datl")
    images = export.representative_images(finished, best)
    assert images.shape == (40, 8, 8, 1)
    config = json.loads((run / "config.json").read_text())
    assert config["data"].pop("target_classes") == []
    (run / "config.json").write_text(json.dumps(config))
    again = export.representative_images(FinishedRun.read(run), best)
    np.testing.assert_array_equal(again, images)
    config["data"]["target_classes"] = ["3", "4"]
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="no longer the data of the run"):
        export.representative_images(FinishedRun.read(run), best)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "no run of `compare`"),
        ("config.json", "{}", "`config.methods` must be a list"),
        ("config.json", "[]", "cannot be read"),
        ("results.json", None, "is not finished"),
        ("results.json", "[]", "is not finished"),
        ("results.json", "[3]", "must be an object"),
        ("data.json", None, "is not finished"),
        ("data.json", '{"frame": 3}', "`data.image_shape` must be three"),
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
        export.export(run, "datl")


def test_refuses_an_unfinished_run_and_an_absent_method(run):
    with pytest.raises(InputError, match=r"datl, l2tl\. Received: 'no'"):
        export.export(run, "no")
    entries = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(entries[:-1]))
    with pytest.raises(InputError, match="is not finished"):
        export.export(run)
