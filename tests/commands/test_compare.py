import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.commands.preparation import inputs
from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.training import checkpoint


def files(folder):
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_compare_writes_all_files_and_repeats_nothing(tmp_path):
    config = helpers.tiny_experiment(methods=tuple(METHODS))
    out = tmp_path / "run"
    rows = tt.compare(config, out, quiet=True, **helpers.domains())
    assert [row.method for row in rows] == list(METHODS)
    before = files(out)
    assert {
        "config.json",
        "results.json",
        "weights.csv",
        "weights.png",
        "side_by_side.png",
        "l2tl_weights.png",
        "learning_curves.png",
        "data_check.json",
        "forecast.json",
        "report.html",
        "predictions/datl-0.npz",
        "checkpoints/generalist-0.keras",
        "checkpoints/datl-0.keras",
        "export/1/saved_model.pb",
    } <= set(before)
    results = json.loads((out / "results.json").read_text())
    assert len(results) == len(METHODS)
    for result in results:
        assert 0 <= result["test"]["accuracy"] <= 1
        assert result["seconds"] > 0
        assert result["versions"]["keras"]
        if result["method"] == "l2tl":
            assert len(result["weights"]) == 8
            assert 0 < result["scale"] < 1
    assert tt.compare(config, out, quiet=True, **helpers.domains()) == rows
    assert files(out) == before
    (out / "report.html").unlink()  # as if the first call had not finished
    assert tt.compare(config, out, quiet=True, **helpers.domains()) == rows
    again = files(out)
    assert "report.html" in again
    for name in ("results.json", "export/1/saved_model.pb"):
        assert again.get(name) == before.get(name)


@pytest.mark.slow
def test_an_interrupted_comparison_continues_to_the_same_result(
    tmp_path, monkeypatch
):
    config = helpers.tiny_experiment(methods=("finetune", "datl"))
    whole = tt.compare(
        config, tmp_path / "whole", quiet=True, **helpers.domains()
    )
    real = METHODS["datl"]

    def interrupted(run):
        raise KeyboardInterrupt

    method = dataclasses.replace(real, train=interrupted)
    monkeypatch.setitem(METHODS, "datl", method)
    with pytest.raises(KeyboardInterrupt):
        tt.compare(config, tmp_path / "broken", quiet=True, **helpers.domains())
    monkeypatch.setitem(METHODS, "datl", real)
    continued = tt.compare(
        config, tmp_path / "broken", quiet=True, **helpers.domains()
    )
    assert [r.accuracy for r in continued] == [r.accuracy for r in whole]
    one, other = (
        tf.keras.models.load_model(
            tmp_path / name / "checkpoints" / "datl-0.keras"
        )
        for name in ("whole", "broken")
    )
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("credit", ["feature", "gradient", "reinforce"])
def test_every_method_trains_in_mixed_precision(tmp_path, credit):
    config = helpers.tiny_experiment(
        methods=tuple(METHODS),
        encoder=config_lib.Encoder(width=4, precision="mixed_bfloat16"),
        l2tl=config_lib.L2tl(steps=4, policy_warmup=1, credit=credit),
    )
    rows = tt.compare(config, tmp_path / "run", quiet=True, **helpers.domains())
    assert [row.method for row in rows] == list(METHODS)
    path = tmp_path / "run" / "checkpoints" / "l2tl-0.keras"
    model = keras.saving.load_model(path)
    assert model.layers[0].outputs[0].dtype == "bfloat16"
    served = tf.saved_model.load(tmp_path / "run" / "export" / "1")
    outputs = served.signatures["serving_default"](
        images=tf.zeros((2, 8, 8, 1))
    )
    np.testing.assert_allclose(outputs["probabilities"].numpy().sum(1), 1, 1e-5)


@pytest.mark.slow
def test_warns_of_a_weak_generalist(tmp_path, capsys):
    config = helpers.tiny_experiment(
        methods=("finetune",),
        generalist=config_lib.Training(steps=1, learning_rate=1e-6),
    )
    tt.compare(config, tmp_path / "run", quiet=True, **helpers.domains())
    warning = "its weights mean little, though their order may be right"
    assert warning in capsys.readouterr().err


@pytest.mark.slow
def test_exports_the_best_method_by_validation(tmp_path):
    config = helpers.tiny_experiment(
        methods=("scratch", "finetune"),
        generalist=config_lib.Training(
            steps=60, batch_size=16, learning_rate=0.05
        ),
        finetuning=config_lib.FineTuning(
            steps=20, batch_size=8, learning_rates=(1e-9, 0.05)
        ),
    )
    out = tmp_path / "run"
    tt.compare(config, out, quiet=True, **helpers.domains())
    results = json.loads((out / "results.json").read_text())
    best = max(
        (result["validation"] | result for result in results),
        key=lambda result: (result["accuracy"], -result["loss"]),
    )
    model = tf.keras.models.load_model(
        out / "checkpoints" / f"{best['method']}-0.keras"
    )
    images = helpers.domains()["target"].images[:5] / np.float32(255)
    serve = tf.saved_model.load(str(out / "export" / "1"))
    outputs = serve.signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(
        outputs["probabilities"], tf.nn.softmax(model(images)), atol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("magic",)}, "Unknown method.*Received: 'magic'"),
        ({"methods": ()}, "Unknown method"),
        ({"seeds": 0}, "`seeds` must be from 1 to"),
        (
            {"data": config_lib.Data(image_size=8, labels_per_class=99)},
            "must have 99 images of every class",
        ),
    ],
)
def test_refuses_and_leaves_nothing(tmp_path, changes, message):
    out = tmp_path / "run"
    with pytest.raises(InputError, match=message):
        tt.compare(helpers.tiny_experiment(**changes), out, **helpers.domains())
    assert not out.exists()


def test_a_diverging_loss_is_a_sentence_and_leaves_nothing(tmp_path):
    stage = config_lib.Training(steps=20, batch_size=16, learning_rate=1e5)
    config = helpers.tiny_experiment(generalist=stage, methods=("finetune",))
    with pytest.raises(
        InputError, match=r"has diverged, at each of.*generalist of seed 0"
    ):
        tt.compare(config, tmp_path / "run", quiet=True, **helpers.domains())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": {"joint": {"loss": [1.0]}}}, "must have one length"),
        ({"history": {"joint": {"loss": [[1.0]]}}}, "must have one length"),
        ({"weights": [1.0] * 7}, "one entry for each of 8 source classes"),
        ({"weights": None}, "`weights` must be there for a method that"),
    ],
)
def test_refuses_received_results_that_others_cannot_join(
    tmp_path, changes, message
):
    """Of an unfinished run, before anything is trained for it."""
    methods = ("l2tl", "datl")
    settings = helpers.tiny_experiment(methods=methods, seeds=2)
    data = helpers.domains()
    learning = {
        **{name: [1.0, 0.5] for name in ("loss", "scale", "reward")},
        "class_weights": [[1.0] * 8] * 3,
    }
    logs = {"learning": learning, "joint": {"loss": [1.0, 0.5]}}
    given = {"history": logs, "weights": [1.0] * 8}
    given_second = given | changes
    given_second["history"] = logs | given_second["history"]
    folder = RunFolder(
        tmp_path, settings, inputs.fingerprints_of(settings, **data)
    )
    folder.add(helpers.result("l2tl", 0, **given))
    folder.add(helpers.result("l2tl", 1, **given_second))
    with pytest.raises(InputError, match=message):
        tt.compare(settings, tmp_path, **data, quiet=True)
    assert not [*tmp_path.glob("checkpoints/*")]


def test_refuses_images_of_two_shapes(tmp_path):
    mixed = helpers.domains() | {"target": helpers.blobs(size=12)}
    with pytest.raises(InputError, match="must have one shape"):
        tt.compare(helpers.tiny_experiment(), tmp_path / "run", **mixed)
    assert not (tmp_path / "run").exists()


def test_refuses_a_target_of_one_class(tmp_path):
    one = helpers.domains() | {
        "target": helpers.blobs(classes=4).only(helpers.blobs().class_names[:1])
    }
    with pytest.raises(InputError, match=r"two classes. Received: class 0"):
        tt.compare(helpers.tiny_experiment(), tmp_path / "run", **one)
    assert not (tmp_path / "run").exists()


def test_refuses_data_that_is_no_image_data(tmp_path):
    pair = np.zeros((4, 8, 8, 1)), np.zeros(4)
    domains = helpers.domains() | {"source": pair}
    with pytest.raises(InputError, match=r"An example must be .*: ndarray"):
        tt.compare(helpers.tiny_experiment(), tmp_path / "run", **domains)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("apply", ["draw", "resample", "attach"])
def test_two_devices_equal_one_for_every_kind_of_method(tmp_path, apply):
    kinds = "finetune_related", "datl", "joint", "l2tl"
    # Few steps: round-off grows with each, by how much differs by processor.
    stage = config_lib.Training(steps=10, batch_size=16, learning_rate=0.05)
    settings = {
        "generalist": stage,
        "pretraining": stage,
        "finetuning": config_lib.FineTuning(
            steps=20, batch_size=8, learning_rates=(0.02,)
        ),
        "l2tl": config_lib.L2tl(steps=20, policy_warmup=2),
        "datl": config_lib.Datl(apply=apply),
        "methods": ("datl",) if apply != "draw" else kinds,
    }
    for name in ("none", "mirrored"):
        config = helpers.tiny_experiment(strategy=name, **settings)
        tt.compare(config, tmp_path / name, quiet=True, **helpers.domains())
    helpers.same_models(tmp_path / "none", tmp_path / "mirrored", atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("executions", [3, 16, 31])
def test_a_run_interrupted_in_mid_epoch_ends_bitwise_the_same(
    tmp_path, monkeypatch, executions
):
    """Also if the weights are estimated again after every epoch.

    Generalist, pre-training and fine-tuning take 10, 20 and 4 executions.
    """
    config = helpers.tiny_experiment(
        methods=("datl",),
        datl=config_lib.Datl(every=1, apply="resample"),
        pretraining=config_lib.Training(
            steps=40, batch_size=16, learning_rate=0.05
        ),
        checkpoint_every=3,
    )
    tt.compare(config, tmp_path / "whole", quiet=True, **helpers.domains())
    count = iter(range(1000))
    real = checkpoint.Resume.on_train_batch_end

    def interrupted(self, batch, logs=None):
        if next(count) == executions:
            raise KeyboardInterrupt
        real(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Resume, "on_train_batch_end", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tt.compare(
                config, tmp_path / "broken", quiet=True, **helpers.domains()
            )
    tt.compare(config, tmp_path / "broken", quiet=True, **helpers.domains())
    helpers.same_models(tmp_path / "whole", tmp_path / "broken", atol=0)
    one, other = (
        json.loads((tmp_path / name / "results.json").read_text())[0]
        for name in ("whole", "broken")
    )
    for result in (one, other):
        del result["seconds"]
    assert one == other
    left = (tmp_path / "broken" / "checkpoints").iterdir()
    assert {path.suffix for path in left} == {".keras"}


def test_refuses_validation_images_that_devices_cannot_share_evenly(tmp_path):
    config = helpers.tiny_experiment(strategy="mirrored", methods=("l2tl",))
    config.data.validation_per_class = 1
    target = helpers.blobs(classes=3)
    with pytest.raises(
        InputError, match=r"must be divisible.*Received: 3 for 2"
    ):
        tt.compare(config, tmp_path / "run", source=target, target=target)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_sources_of_a_program_are_those_of_its_arrays(tmp_path):
    """A tf.data.Dataset, and random access, with two jobs."""
    digits = loaders.load("digits")
    turned = digits.images.swapaxes(1, 2)[:200]
    labels = digits.labels[:200]
    config = helpers.tiny_experiment(methods=("finetune",), seeds=2)
    config.data.image_size, config.data.channels = 0, 0
    pairs = list(zip(turned, labels, strict=True))
    sources = (
        tf.data.Dataset.from_tensor_slices((turned[..., None], labels)),
        pairs,
    )
    rows = [
        tt.compare(config, tmp_path / str(i), source=source, quiet=True, jobs=2)
        for i, source in enumerate(sources)
    ]
    frame = tt.from_dataset(pairs, size=12, channels=1)
    rows.append(tt.compare(config, tmp_path / "2", source=frame, quiet=True))
    assert rows[0][0].accuracy == rows[1][0].accuracy
    assert rows[0][0].accuracy == pytest.approx(rows[2][0].accuracy, abs=0.1)
