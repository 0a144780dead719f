import dataclasses
import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2

import tf_transfer as tt
from tests import helpers
from tf_transfer.experiment.stages import trainers
from tf_transfer.training import tensorboard
from tf_transfer.utils.storage.folders import Folder


def events(folder):
    """Steps and values by tag, as TensorBoard reads them."""
    if not folder.exists():
        return {}
    accumulator = event_accumulator.EventAccumulator(
        str(folder), size_guidance={event_accumulator.TENSORS: 0}
    )
    accumulator.Reload()
    values = {}
    for tag in accumulator.Tags()["tensors"]:
        tensors = accumulator.Tensors(tag)
        values[tag] = {e.step: tf.make_ndarray(e.tensor_proto) for e in tensors}
        assert len(values[tag]) == len(tensors), f"{tag}: a step twice"
    return values


def fit(callback, epochs=2):
    model = helpers.tiny_classifier()
    model.compile(keras.optimizers.SGD(0.25), helpers.LOSS)
    data = helpers.blobs(per_class=4).batches(8)
    return model.fit(
        data, epochs=epochs, callbacks=[callback], verbose=0, shuffle=False
    ).history


def test_a_stage_is_written_while_it_trains(tmp_path):
    weights = np.array([0.5, 1.5, 1.0], np.float32)
    writer = tensorboard.StageCallback(tmp_path / "stage", lambda: weights)
    steps = []

    class Reader(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            steps.append(list(events(tmp_path / "stage").get("loss", {})))

    logs = fit(keras.callbacks.CallbackList([writer, Reader()]))
    assert steps == [[], [2]]
    values = events(tmp_path / "stage")
    assert set(values) == {"loss", "learning_rate", "importance_weights"}
    np.testing.assert_allclose(
        [values["loss"][step] for step in (2, 4)], logs["loss"], rtol=1e-6
    )
    assert values["learning_rate"] == {2: 0.25, 4: 0.25}
    for buckets in values["importance_weights"].values():
        assert buckets[:, 2].sum() == 3
        assert (buckets[0, 0], buckets[-1, 1]) == (0.5, 1.5)


def test_a_resumed_run_writes_no_step_twice(tmp_path):
    first = fit(tensorboard.StageCallback(tmp_path), epochs=1)
    fit(tensorboard.StageCallback(tmp_path), epochs=3)
    values = events(tmp_path)
    assert list(values["loss"]) == [2, 4, 6]
    assert values["loss"][2] == pytest.approx(first["loss"][0])
    assert len(list(tmp_path.iterdir())) == 2


def test_an_event_cut_off_by_a_kill_is_written_again(tmp_path):
    fit(tensorboard.StageCallback(tmp_path), epochs=2)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    fit(tensorboard.StageCallback(tmp_path), epochs=2)
    values = events(tmp_path)
    assert list(values["loss"]) == list(values["learning_rate"]) == [2, 4]


def result(accuracy=0.5):
    scores = {"accuracy": accuracy, "loss": 1.0}
    return {
        "method": "datl",
        "seed": 3,
        "learning_rate": 0.02,
        "test": scores,
        "validation": scores,
    }


def test_results_are_compared_by_hyperparameters(tmp_path):
    settings = dataclasses.asdict(helpers.tiny_experiment())
    for accuracy in (0.5, 0.9):  # the second call finds everything written
        tensorboard.TensorBoardWriter(Folder(tmp_path)).result(
            result(accuracy), settings
        )
    folder = tmp_path / "tensorboard" / "results" / "datl-3"
    accumulator = event_accumulator.EventAccumulator(str(folder))
    accumulator.Reload()
    tag = "_hparams_/session_start_info"
    start = hparams(accumulator, tag).session_start_info
    assert start.hparams["method"].string_value == "datl"
    assert start.hparams["seed"].number_value == 3
    assert start.hparams["learning_rate"].number_value == 0.02
    assert start.hparams["data.labels_per_class"].number_value == 4
    assert events(folder)["test/accuracy"] == {0: 0.5}
    assert events(folder)["validation/loss"] == {0: 1.0}


def hparams(accumulator, tag):
    """The single event of a tag, as TensorBoard's HParams page reads it."""
    assert len(accumulator.Tensors(tag)) == 1
    content = accumulator.SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_without_folder_or_tensorboard_nothing_is_written(
    tmp_path, monkeypatch
):
    assert tensorboard.installed()
    assert (
        tensorboard.TensorBoardWriter(Folder(tmp_path)).stage(None, "learning")
        == []
    )
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert not tensorboard.installed()
    for folder in (None, tmp_path):
        writer = tensorboard.TensorBoardWriter(folder)
        writer.result(result(), {})
        assert writer.stage(tmp_path / "datl-0" / "0", "pretraining") == []
    assert list(tmp_path.iterdir()) == []


def compare(folder, **settings):
    data = {
        "source": helpers.blobs(per_class=20, classes=8),
        "target": helpers.blobs(per_class=20, classes=4, seed=1),
    }
    changes = {"checkpoint_every": 1} | settings
    config = helpers.tiny_experiment(**changes)
    return tt.compare(config, folder, **data)


@pytest.mark.slow
def test_an_interrupted_comparison_is_written_once(
    tmp_path, monkeypatch, capsys
):
    ends = trainers.ProgressCallback.on_epoch_end
    epochs = []

    def interrupted(self, epoch, logs=None):
        epochs.append(epoch)
        if len(epochs) in (3, 13):  # after the event, before the checkpoint
            raise KeyboardInterrupt
        ends(self, epoch, logs)

    monkeypatch.setattr(trainers.ProgressCallback, "on_epoch_end", interrupted)
    methods = ("datl", "l2tl")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            compare(tmp_path / "run", methods=methods)
    compare(tmp_path / "run", methods=methods)
    assert "without TensorBoard" not in capsys.readouterr().err
    root = tmp_path / "run" / "tensorboard"
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    for result in results:
        name = f"{result['method']}-0"
        accuracies = events(root / "results" / name)["test/accuracy"]
        assert accuracies == {0: pytest.approx(result["test"]["accuracy"])}
        folder = root / "stages" / name
        stages = {path.name: events(path) for path in folder.glob("*-*")}
        first = "learning"
        if result["method"] == "datl":  # its pre-training may be shared
            first = "pretraining"
            path = root / "stages" / "weighted-0" / f"0-{first}"
            stages[path.name] = events(path)
        weights = stages[f"0-{first}"].pop("importance_weights")
        assert list(weights) == [2, 4]
        for name, tags in stages.items():
            history = result["history"][name.split("-")[1]]
            scalars = {k: v for k, v in history.items() if np.ndim(v) == 1}
            assert set(tags) == {*scalars, "learning_rate"}
            if name in (f"0-{first}", max(stages)):  # the stages in `history`
                for tag, logged in scalars.items():
                    written = list(tags[tag].values())
                    # The history may begin before the first epoch.
                    logged = logged[-len(written) :]
                    np.testing.assert_allclose(written, logged, rtol=1e-5)
    for name in ("generalist-0/0-generalist", "unweighted-0/0-pretraining"):
        assert events(root / "stages" / name)["loss"]


@pytest.mark.slow
def test_a_comparison_goes_on_without_tensorboard(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    compare(tmp_path / "run", methods=("scratch",))
    errors = capsys.readouterr().err
    assert errors.count("going on without TensorBoard") == 1
    assert (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "tensorboard").exists()
