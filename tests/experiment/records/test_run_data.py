import dataclasses
import json

import numpy as np
import pytest

from tests import helpers
from tf_transfer.data import framing
from tf_transfer.errors import InputError
from tf_transfer.experiment.records.results import Predictions
from tf_transfer.experiment.records.run_data import FinishedRun, Run
from tf_transfer.experiment.records.run_folder import (
    RunFolder,
    predictions_name,
)

INFO = {
    "source": None,
    "target": "digits",
    "class_names": ["a", "b"],
    "image_shape": [8, 8, 1],
    "counts": {"source": 90, "labelled": 16, "validation": 8, "test": 40},
    "frame": {
        "size": 8,
        "channels": 1,
        "appearance": {"maximum": 16.0, "background": None, "radius": 0.2},
    },
}
LEARNING = {
    "loss": [2.0, 1.0],
    "scale": [0.5, 0.6],
    "reward": [0.1, 0.2],
    "expected_scale": [0.5, 0.5, 0.6],
    "class_weights": [[1.0] * 3] * 3,
}
METHODS = ("finetune", "l2tl")


def results(**learning):
    """Results of two methods and seeds; the last has other logs."""
    return [
        helpers.result("finetune", 0),
        helpers.result("finetune", 1),
        helpers.result(
            "l2tl", 0, history={"learning": LEARNING}, weights=[1.0] * 3
        ),
        helpers.result("l2tl", 1, history={"learning": LEARNING | learning}),
    ]


@pytest.fixture
def folder(tmp_path):
    """The folder of a finished run that was made up."""
    config = helpers.tiny_experiment(methods=METHODS, seeds=2)
    folder = RunFolder(tmp_path / "run", config, {"target": "abc"})
    for result in results():
        folder.add(result)
    folder.write("data.json", INFO)
    table = helpers.weight_table([0.5, 1.0, 1.5], learned=["l2tl"])
    table.write_csv(folder.files)
    return folder


def test_reads_a_finished_run(folder):
    run = FinishedRun.read(folder.path)
    assert run.config == helpers.tiny_experiment(methods=METHODS, seeds=2)
    assert run.fingerprints == {"target": "abc"}
    assert run.results == folder.results
    assert run.data.to_json() == INFO | {"image_shape": (8, 8, 1)}
    assert isinstance(run.data.frame, framing.Frame)
    assert run.weight_table.class_names == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize("learned", [[], ["l2tl", "magic"]])
def test_refuses_learned_weights_of_other_methods(folder, learned):
    table = helpers.weight_table([0.5, 1.0, 1.5], learned=learned)
    table.write_csv(folder.files)
    with pytest.raises(InputError, match=r"must be those.*\['l2tl'\]"):
        FinishedRun.read(folder.path)


def test_refuses_a_method_that_it_does_not_know(folder):
    config = json.loads((folder.path / "config.json").read_text())
    config["methods"] = ["finetune", "magic"]
    folder.write("config.json", config)
    with pytest.raises(InputError, match=r"unknown method.*'magic'"):
        Run.read(folder.path)


def test_reads_an_unfinished_run(folder):
    (folder.path / "data.json").unlink()
    folder.write("results.json", [results()[0].to_json()])
    run = Run.read(folder.path)
    assert run.results == results()[:1]
    assert run.data is None


def test_a_run_without_a_recent_setting_has_its_default(folder):
    config = json.loads((folder.path / "config.json").read_text())
    del config["encoder"]["precision"], config["relevant"]
    (folder.path / "config.json").write_text(json.dumps(config))
    run = Run.read(folder.path)
    assert run.config == helpers.tiny_experiment(methods=METHODS, seeds=2)


def test_refuses_a_run_that_is_not_finished(tmp_path):
    with pytest.raises(InputError, match="no run of `compare`"):
        FinishedRun.read(tmp_path)
    config = helpers.tiny_experiment(methods=("scratch",))
    folder = RunFolder(tmp_path / "run", config)
    folder.write("data.json", INFO)
    with pytest.raises(InputError, match="is not finished"):
        FinishedRun.read(folder.path)
    folder.add(helpers.result("scratch"))
    run = FinishedRun.read(folder.path)
    assert run.weight_table is None  # nothing uses the source
    (folder.path / "data.json").unlink()
    with pytest.raises(InputError, match="is not finished"):
        FinishedRun.read(folder.path)


@pytest.mark.parametrize(
    ("learning", "message"),
    [
        ({"loss": [2.0]}, "`history.learning.loss` must have one length"),
        ({"more": [2.0, 1.0]}, "`history.learning` must hold class_weights"),
    ],
)
def test_refuses_seeds_that_cannot_be_averaged(folder, learning, message):
    entries = [each.to_json() for each in results(**learning)]
    folder.write("results.json", entries)
    with pytest.raises(InputError, match=rf"{message}.*Received: .*results"):
        FinishedRun.read(folder.path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("scale", [0.5]),
        ("reward", [[0.5], [0.6]]),
        ("expected_scale", [0.5] * 4),
        ("class_weights", [[1.0] * 3] * 2),
        ("class_weights", [[1.0] * 4] * 3),
        ("class_weights", [1.0] * 3),
        ("loss", [2.0] * 3),
    ],
)
def test_refuses_logs_of_other_epochs_or_classes(folder, name, values):
    history = {"learning": LEARNING | {name: values}}
    entries = [
        dataclasses.replace(each, history=history).to_json()
        for each in results()
    ]
    folder.write("results.json", entries)
    with pytest.raises(
        InputError, match=r"`history\.learning\.\w+` must have the shape"
    ):
        FinishedRun.read(folder.path)


def test_refuses_a_loss_of_rows(folder):
    entries = [each.to_json() for each in results()]
    for entry in entries:
        entry["history"]["finetuning"] = {"loss": [[1.0], [0.5]]}
    folder.write("results.json", entries)
    with pytest.raises(InputError, match=r"`history\.finetuning\.loss` must"):
        FinishedRun.read(folder.path)


def test_refuses_weights_of_other_classes(folder):
    entries = [each.to_json() for each in results()]
    entries[2]["weights"] = [1.0] * 4
    folder.write("results.json", entries)
    with pytest.raises(InputError, match=r"3 source classes.*Received: 4 of"):
        FinishedRun.read(folder.path)


def test_reads_the_predictions_of_a_result(folder):
    run = FinishedRun.read(folder.path)
    with pytest.raises(InputError, match="cannot be read"):
        run.predictions(run.results[0])
    for classes in (2, 3):
        predictions = Predictions.of(np.eye(classes), np.arange(classes))
        folder.save_predictions(predictions, "finetune", classes - 2)
    predictions = run.predictions(run.results[0], images=2)
    np.testing.assert_array_equal(predictions.predicted, [0, 1])
    other = helpers.result("finetune", 1)
    path = folder.path / predictions_name("finetune", 1)
    with pytest.raises(InputError, match=rf"in \[0, 2\).*Received: .*{path}"):
        run.predictions(other)
