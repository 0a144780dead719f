import json
import pathlib

import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands.preparation import targets
from tf_transfer.experiment.stages import trainers
from tf_transfer.experiment.stages.optimizers import RECIPES


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two targets of digits, one of them turned; from a folder of its own."""
    monkeypatch.chdir(tmp_path)
    digits = tt.load("digits", 8, 1)
    for name, images in (
        ("plain", digits.images),
        ("turned", digits.images.swapaxes(1, 2)),
    ):
        np.savez(f"{name}.npz", x_train=images, y_train=digits.labels)
    return "npz:plain.npz npz:turned.npz"


def test_folders_are_named_by_the_targets():
    names = ["folder:a/my photos/", "npz:b.c.npz", "npz:b.npz", "x:/"]
    assert targets.folders(names) == ["my_photos", "b", "b-2", "target"]


@pytest.mark.slow
def test_generalists_are_trained_once(two, monkeypatch, capsys):
    """The results are those of two runs that share nothing."""
    flags = [*helpers.TINY_SETTINGS, "--config.methods=('finetune','datl')"]
    trained = []
    fit = trainers.Trainer.fit

    def counted(self, batches, stage, *args, **kwargs):
        trained.append(stage.steps)
        return fit(self, batches, stage, *args, **kwargs)

    monkeypatch.setattr(trainers.Trainer, "fit", counted)
    call = helpers.call_command
    together = call(
        monkeypatch, capsys, "compare", f"--targets={two}", "--out=all", *flags
    )
    assert together[0] == 0, together
    count = len(trained)
    for name in ("plain", "turned"):
        alone = call(
            monkeypatch,
            capsys,
            "compare",
            f"--config.data.target=npz:{name}.npz",
            f"--out={name}",
            *flags,
        )
        assert alone[0] == 0, alone
        one, other = (
            json.loads(pathlib.Path(run, "results.json").read_text())
            for run in (f"all/{name}", name)
        )
        for a, b in zip(one, other, strict=True):
            assert (a["method"], a["test"]) == (b["method"], b["test"])
    seeds = len({entry["seed"] for entry in one})
    rates = len(RECIPES["sgd"].source)
    assert len(trained) - count == count + seeds + rates


@pytest.mark.slow
def test_weights_of_several_targets(two, monkeypatch, capsys):
    status, output, _ = helpers.call_command(
        monkeypatch,
        capsys,
        "weights",
        f"--targets={two}",
        "--out=w",
        *helpers.TINY_SETTINGS,
    )
    assert status == 0
    assert output.count("Most like it (weight):") == 2
    one, other = (
        pathlib.Path("w", name, "weights.csv").read_text()
        for name in ("plain", "turned")
    )
    assert one != other


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("digits digits", "name each target once"),
        ("'digits", "must be words of a shell"),
        ("digits npz:none.npz", "none.npz"),
    ],
)
def test_wrong_targets_are_told(value, message, two, monkeypatch, capsys):
    status, _, error = helpers.call_command(
        monkeypatch,
        capsys,
        "weights",
        f"--targets={value}",
        "--out=w",
        *helpers.TINY_SETTINGS,
    )
    assert status == 2
    assert message in error
