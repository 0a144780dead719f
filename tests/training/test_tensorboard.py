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
from tf_transfer.experiment import trainers
from tf_transfer.training import tensorboard


def events(folder):
    """Steps and values by tag, as TensorBoard reads them."""
    if not folder.exists():
        return {}
    found = event_accumulator.EventAccumulator(
        str(folder), size_guidance={event_accumulator.TENSORS: 0}
    )
    found.Reload()
    values = {}
    for tag in found.Tags()["tensors"]:
        listed = found.Tensors(tag)
        values[tag] = {e.step: tf.make_ndarray(e.tensor_proto) for e in listed}
        assert len(values[tag]) == len(listed), f"{tag}: a step twice"
    return values


def fit(record, epochs=2):
    model = helpers.tiny_classifier()
    model.compile(keras.optimizers.SGD(0.25), helpers.LOSS)
    data = helpers.blobs(per_class=4).batches(8)
    return model.fit(
        data, epochs=epochs, callbacks=[record], verbose=0, shuffle=False
    ).history


def test_a_stage_is_recorded_while_it_trains(tmp_path):
    weights = np.array([0.5, 1.5, 1.0], np.float32)
    record = tensorboard.StageRecord(tmp_path / "stage", lambda: weights)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(events(tmp_path / "stage").get("loss", {}))

    look = keras.callbacks.CallbackList([record, Look()])
    logs = fit(look)
    assert [list(found) for found in seen] == [[], [2]]
    found = events(tmp_path / "stage")
    assert set(found) == {"loss", "learning_rate", "importance_weights"}
    np.testing.assert_allclose(
        [found["loss"][step] for step in (2, 4)], logs["loss"], rtol=1e-6
    )
    assert found["learning_rate"] == {2: 0.25, 4: 0.25}
    for buckets in found["importance_weights"].values():
        assert buckets[:, 2].sum() == 3
        assert (buckets[0, 0], buckets[-1, 1]) == (0.5, 1.5)


def test_no_step_is_written_twice_by_a_continued_run(tmp_path):
    first = fit(tensorboard.StageRecord(tmp_path), epochs=1)
    fit(tensorboard.StageRecord(tmp_path), epochs=3)
    found = events(tmp_path)
    assert list(found["loss"]) == [2, 4, 6]
    assert found["loss"][2] == pytest.approx(first["loss"][0])
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_kill_has_cut_off_is_written_again(tmp_path):
    fit(tensorboard.StageRecord(tmp_path), epochs=2)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    fit(tensorboard.StageRecord(tmp_path), epochs=2)
    found = events(tmp_path)
    assert list(found["loss"]) == list(found["learning_rate"]) == [2, 4]


def result(accuracy=0.5):
    measured = {"accuracy": accuracy, "loss": 1.0}
    return {
        "method": "datl",
        "seed": 3,
        "learning_rate": 0.02,
        "test": measured,
        "validation": measured,
    }


def test_results_are_compared_by_hyperparameters(tmp_path):
    settings = dataclasses.asdict(helpers.tiny_experiment())
    for accuracy in (0.5, 0.9):  # of the second call all is there already
        tensorboard.Records(tmp_path).result(result(accuracy), settings)
    place = tmp_path / "tensorboard" / "results" / "datl-3"
    found = event_accumulator.EventAccumulator(str(place))
    found.Reload()
    start = hparams(found, "_hparams_/session_start_info").session_start_info
    assert start.hparams["method"].string_value == "datl"
    assert start.hparams["seed"].number_value == 3
    assert start.hparams["learning_rate"].number_value == 0.02
    assert start.hparams["data.labels_per_class"].number_value == 4
    assert events(place)["test/accuracy"] == {0: 0.5}
    assert events(place)["validation/loss"] == {0: 1.0}


def hparams(found, tag):
    """What the HParams page reads of a tag, of which there must be one."""
    assert len(found.Tensors(tag)) == 1
    content = found.SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_nothing_is_written_where_there_is_no_place(tmp_path, monkeypatch):
    assert tensorboard.installed()
    assert tensorboard.Records(tmp_path).stage(None, "learning") == []
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert not tensorboard.installed()
    for folder in (None, tmp_path):
        made = tensorboard.Records(folder)
        made.result(result(), {})
        assert made.stage(tmp_path / "datl-0" / "0", "pretraining") == []
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
def test_an_interrupted_comparison_is_recorded_once(
    tmp_path, monkeypatch, capsys
):
    ends = trainers.ProgressCallback.on_epoch_end
    counted = []

    def interrupted(self, epoch, logs=None):
        counted.append(epoch)
        if len(counted) in (3, 13):  # after the record, before the checkpoint
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
    for found in results:
        name = f"{found['method']}-0"
        accuracies = events(root / "results" / name)["test/accuracy"]
        assert accuracies == {0: pytest.approx(found["test"]["accuracy"])}
        place = root / "stages" / name
        stages = {path.name: events(path) for path in place.glob("*-*")}
        first = "pretraining" if found["method"] == "datl" else "learning"
        weights = stages[f"0-{first}"].pop("importance_weights")
        assert list(weights) == [2, 4]
        for name, tags in stages.items():
            wanted = found["history"][name.split("-")[1]]
            wanted = {k: v for k, v in wanted.items() if np.ndim(v) == 1}
            assert set(tags) == {*wanted, "learning_rate"}
            if name in (f"0-{first}", max(stages)):  # the one that counts
                for tag, logged in wanted.items():
                    recorded = list(tags[tag].values())
                    # The history may begin before the first epoch.
                    logged = logged[-len(recorded) :]
                    np.testing.assert_allclose(recorded, logged, rtol=1e-5)
    for name in ("generalist-0/0-generalist", "unweighted-0/0-pretraining"):
        assert events(root / "stages" / name)["loss"]


@pytest.mark.slow
def test_a_comparison_goes_on_without_tensorboard(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    compare(tmp_path / "run", methods=("scratch",))
    said = capsys.readouterr().err
    assert said.count("going on without TensorBoard") == 1
    assert (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "tensorboard").exists()
