import json

import keras
import numpy as np
import PIL.Image
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.commands import weights
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import stored_config, weights_file
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.utils.storage.folders import Folder


def test_warns_of_a_weak_generalist(tmp_path):
    config = helpers.tiny_experiment(
        methods=("finetune",),
        generalist=config_lib.Training(steps=1, learning_rate=1e-6),
    )
    warning = (
        "its weights mean little, though their order may be right: train it"
    )
    estimate = weights.estimate_weights(
        config, tmp_path / "weights", quiet=True, **helpers.domains()
    )
    assert warning in estimate.verdict


def test_keeps_out_of_a_folder_where_a_command_is_at_work(tmp_path):
    domains = helpers.domains()
    prints = {name: part.fingerprint() for name, part in domains.items()}
    config = helpers.tiny_experiment()
    with (
        RunFolder(tmp_path / "run", config, prints, alone=True),
        pytest.raises(InputError, match="Another command is at work"),
    ):
        weights.estimate_weights(
            config, tmp_path / "run", quiet=True, **domains
        )


def test_stops_after_the_weights(tmp_path):
    estimate = weights.estimate_weights(
        helpers.tiny_experiment(),
        tmp_path / "weights",
        quiet=True,
        **helpers.domains(),
    )
    assert "of 8 source classes" in str(estimate)
    assert not (tmp_path / "weights" / "results.json").exists()
    assert (tmp_path / "weights" / "side_by_side.png").exists()


def test_weights_put_the_right_classes_on_top(tmp_path):
    """The target holds the first four of the eight source classes."""
    config = helpers.tiny_experiment(
        generalist=config_lib.Training(
            steps=200, batch_size=32, learning_rate=0.05
        )
    )
    estimate = tt.estimate_weights(
        config, tmp_path / "weights", quiet=True, **helpers.domains()
    )
    lines = (tmp_path / "weights" / "weights.csv").read_text().splitlines()[1:]
    weight = np.array([float(line.split(",")[-1]) for line in lines])
    assert weight[:4].min() > weight[4:].max()
    np.testing.assert_array_equal(estimate.weights, weight)
    # Its classes are equally frequent, so P_t / P_s is 8 times P_t.
    np.testing.assert_allclose(8 * estimate.target_prior, weight, rtol=1e-6)
    assert estimate.class_names == [f"class {c}" for c in range(8)]
    assert estimate.source_accuracy > 0.9
    expected = f"expected {estimate.expected_gain:+.1f} points"
    assert expected in estimate.verdict


def test_needs_no_method_that_uses_the_source(tmp_path):
    config = helpers.tiny_experiment(methods=("scratch",))
    estimate = tt.estimate_weights(
        config, tmp_path / "weights", quiet=True, **helpers.domains()
    )
    assert len(estimate.weights) == 8


def test_a_source_class_without_examples_is_a_warning(tmp_path):
    domains = helpers.domains()
    source = domains["source"]
    names = [*source.class_names, "empty"]
    domains["source"] = tt.ImageData(source.images, source.labels, names)
    config = helpers.tiny_experiment()
    with pytest.warns(UserWarning, match="for example 'empty'"):
        weights.estimate_weights(
            config, tmp_path / "weights", quiet=True, **domains
        )
    last = (tmp_path / "weights" / "weights.csv").read_text().splitlines()[-1]
    assert last.endswith(",0.0")


def test_unlabelled_images_are_enough(tmp_path, monkeypatch, capsys):
    """Their weights are those of the same images with labels."""
    rng = np.random.default_rng(0)
    for name in ("source", "flat"):
        data = helpers.blobs(per_class=20, classes=8 if name == "source" else 2)
        np.savez(
            tmp_path / f"{name}.npz", x_train=data.images, y_train=data.labels
        )
        for image in rng.permutation(data.images):
            pixels = image[..., 0]
            path = tmp_path / name / f"{rng.integers(1 << 60)}.png"
            path.parent.mkdir(exist_ok=True)
            PIL.Image.fromarray(pixels).save(path)
    monkeypatch.chdir(tmp_path)
    shared = [
        "weights",
        "--quiet",
        "--config.data.source=npz:source.npz",
        "--config.data.image_size=8",
        "--config.data.channels=1",
        "--config.encoder.width=4",
        "--config.generalist.steps=40",
        "--config.generalist.batch_size=32",
    ]
    status, output, err = helpers.call_command(
        monkeypatch,
        capsys,
        *shared,
        "--config.data.unlabelled=folder:flat",
        "--out=without",
    )
    assert status == 0, err
    assert "source classes" in output
    without = weights_file.WeightTable.read_csv(Folder(tmp_path / "without"))
    assert set(without.top(2)) == {0, 1}
    config = stored_config.completed(
        json.loads((tmp_path / "without" / "config.json").read_text())
    )
    assert config["fingerprints"].keys() == {"source", "target"}
    with pytest.raises(InputError, match="Target images are needed"):
        tt.compare(
            helpers.tiny_experiment(),
            tmp_path / "run",
            source=helpers.blobs(),
            unlabelled=helpers.blobs(),
            quiet=True,
        )
    assert not (tmp_path / "run").exists()


def test_labelled_and_unlabelled_images_are_counted_together(tmp_path):
    data = helpers.domains()
    config = helpers.tiny_experiment(
        generalist=config_lib.Training(
            steps=200, batch_size=32, learning_rate=0.05
        )
    )
    target = data["target"].only(["class 0", "class 1"])
    others = data["target"].only(["class 3"])
    tables = []
    for name, images in (("with", others), ("without", None)):
        weights.estimate_weights(
            config,
            tmp_path / name,
            source=data["source"],
            target=target,
            unlabelled=images,
            quiet=True,
        )
        folder = Folder(tmp_path / name)
        tables.append(weights_file.WeightTable.read_csv(folder))
    with_others, without = (table.mean("target_prior") for table in tables)
    assert with_others[3] > without[3] + 0.2


def test_a_target_of_one_class_does_not_hide_the_unlabelled_images(tmp_path):
    """As a target without labels is of one class."""
    data = helpers.domains()
    config = helpers.tiny_experiment(
        generalist=config_lib.Training(
            steps=200, batch_size=32, learning_rate=0.05
        )
    )
    weights.estimate_weights(
        config,
        tmp_path / "weights",
        source=data["source"],
        target=data["target"].only(["class 0"]),
        unlabelled=data["target"].only(["class 3"]),
        quiet=True,
    )
    table = weights_file.WeightTable.read_csv(Folder(tmp_path / "weights"))
    assert table.mean("target_prior")[3] > 0.2


def test_labels_of_unlabelled_images_are_not_used(tmp_path):
    """Neither for the weights nor for the forecast."""
    data = helpers.domains()
    target = data["target"]
    renamed = tt.ImageData(target.images, 0 * target.labels, ["any"])
    one, other = (
        tt.estimate_weights(
            helpers.tiny_experiment(),
            tmp_path / name,
            source=data["source"],
            unlabelled=images,
            quiet=True,
        )
        for name, images in (("labels", target), ("none", renamed))
    )
    assert "Without labels it is not known" in one.verdict
    assert one.verdict == other.verdict
    np.testing.assert_array_equal(one.weights, other.weights)


def test_a_second_call_trains_nothing_again(tmp_path, monkeypatch):
    config, data = helpers.tiny_experiment(), helpers.domains()
    one = tt.estimate_weights(config, tmp_path / "w", quiet=True, **data)
    monkeypatch.setattr(keras.Model, "fit", None)
    other = tt.estimate_weights(config, tmp_path / "w", quiet=True, **data)
    assert one.verdict == other.verdict
