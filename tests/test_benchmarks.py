"""The benchmarks run, and their findings hold. No time is asserted."""

import argparse
import importlib.util
import sys
import types

import pytest

from tests import helpers
from tests.benchmarks import __main__ as speed
from tf_transfer.data import splits
from tf_transfer.experiment import config_checks
from tf_transfer.experiment.methods import METHODS
from tf_transfer.utils.storage.folders import Folder

FOLDER = helpers.REPOSITORY / "tests" / "benchmarks"


def load(name):
    """Imports a script of tests/benchmarks, as if it were run there."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(FOLDER))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", speed.PARTS)
def test_every_part_of_the_table_is_measured(name):
    script = load(name)
    options = script.parser().parse_args(speed.PARTS[name].split())
    figures = script.run(options)
    assert figures["rows"] or figures["absent"]
    for row in figures["rows"]:
        assert row["ratio"] > 0
        assert row["what"] in speed.table({name: figures})


def test_a_part_that_fails_or_takes_too_long_is_named():
    late = speed.measure("startup", quick=True, limit=0.01)
    failed = speed.measure("absent", quick=False, limit=60)
    text = speed.table({"startup": late, "absent": failed})
    assert "| startup | | | | | | not run: took more than 0 seconds |" in text
    assert "No such file" in text


def test_the_page_of_findings():
    findings = load("findings_page")
    whole = {"75": [0.5, 0.6], "300": [0.7, 0.8]}
    sentence = findings.saving(whole, {"75": [0.7, 0.7], "150": [0.75, 0.76]})
    assert sentence == (
        "The whole source ends at 75.0 % after 300 steps; the weighted source "
        "is there after 150, 0.50 of them (+0.5 +- 57.2 points), those of the "
        "generalist not counted."
    )
    assert findings.saving(whole, {"300": [0.7, 0.7]}).endswith("end there.")
    curves = {"a, whole": whole, "a, weighted": {"75": [0.8], "300": [0.8]}}
    page = findings.page({"efficiency": curves})
    assert "| a, whole | 55.0 +- 63.5 | 75.0 +- 63.5 |" in page
    assert "a: The whole source ends at 75.0 % after 300 steps" in page
    curves = {
        "b": {
            "joint: equal weights": [0.5, 0.6],
            "as l2tl: the right classes alone": [0.6, 0.7],
        }
    }
    page = findings.page({"right": curves})
    assert "b: +10.0 +- 0.0 points by the right weights." in page


@pytest.mark.slow
def test_the_policy_finds_the_useful_classes(shared_data):
    benchmark = load("policy_learns")
    parts = benchmark.load("mnist"), benchmark.load("fashion_mnist")
    source = benchmark.mixture(*parts, seed=0)
    assert source.num_classes == 30
    assert len(source.labels) == 18000
    split = splits.split_target(benchmark.load("usps"), 10, 5, seed=0)
    figures = benchmark.train(source, split, "feature", seed=0)
    assert figures["area"]["all"] > 0.85
    assert figures["mean_weight"][0] > 1.5


def test_the_moment_of_a_kill(tmp_path):
    """By the events of Python, of the folder's own module."""
    hook, events = load("kill_hook"), []

    def note(event, arguments):
        if event in ("open", "os.rename") and watching:
            events.append(hook.being_written(event, arguments))

    watching = True
    sys.addaudithook(note)  # stays until the process ends
    folder = Folder(tmp_path)
    folder.write("results.json", b"[]")
    folder.make("predictions")
    with folder.replacing("predictions/datl-0.npz") as partial:
        partial.write_bytes(b"")
    with folder.filling() as partial:
        (partial / "a.json").write_text("{}")
        partial.rename(tmp_path / "1")
    watching = False
    kinds = ("results.json", "predictions", "export")
    expected = [(k, moment) for k in kinds for moment in ("begun", "written")]
    assert [event for event in events if event[0]] == expected
    assert {kind for kind, _ in expected} < {*load("crash").KINDS}
    names = ["weights.png", "config.json", "a.keras", "weights.csv"]
    expected = ["figures", "config.json", "models", "weights.csv"]
    assert [hook.kind_of(name) for name in names] == expected


@pytest.mark.slow
def test_three_kills_leave_no_trace(tmp_path):
    command = helpers.tiny_command(tmp_path)
    settings = [part for part in command if part.startswith("--config.")]
    figures = load("crash").run(3, 0, settings)
    assert figures == {
        "kills": 3,
        "resumed": 3,
        "identical": True,
        "different": [],
    }


@pytest.mark.slow
def test_memory_stays_flat():
    figures = load("scale").run(400_000, 2_000)
    assert figures["resample"]["growth_mb"] < 50
    assert figures["resample"]["share_error"] < 0.02


@pytest.mark.slow
def test_the_cost_of_serving_is_measured():
    options = argparse.Namespace(
        encoder="small",
        width=4,
        side=8,
        raw_side=12,
        batches=[2],
        rounds=1,
        count=2,
    )
    figures = load("serving").run(options)["batch 2"]
    assert all(ratio > 0 for ratio in figures["ratio"].values())
    assert figures["requests"]["serve_bytes"]["p99_ms"] > 0


def test_the_regime_of_a_broad_source():
    regime = load("regime")
    options = regime.parser().parse_args(["--passes=.5", "--target=animals"])
    settings = regime.settings(options)
    config_checks.check(settings)
    assert settings.generalist.passes == pytest.approx(0.15)
    assert settings.pretraining.passes == pytest.approx(0.35)
    assert {m.name for m in regime.ARMS} < set(settings.methods)
    cell = {
        "cell": vars(options),
        "arms": {
            "finetune_related": {"mean": 0.5073},
            "cut": {"gain": 3.42, "interval": 1.95},
        },
    }
    *_, line = load("regime_page").table([cell]).splitlines()
    assert line.startswith("| animals | 20 | 0.5 | 28,000 | 0.3 | generalist")
    assert "| 10 | 50.7 |  |  |  | +3.4 +- " in line
    for name in {m.name for m in regime.ARMS}:
        METHODS.pop(name)


def test_the_table_of_look_alikes():
    lookalikes = load("lookalikes")
    METHODS.pop("oracle")
    options = lookalikes.parser().parse_args(["--pair=vehicles", "--labels=5"])
    config = lookalikes.settings(options)
    config_checks.check(config)
    assert config.methods[-1] == "oracle"
    gain = {"gain": 1.16, "interval": 0.28}
    methods = {name: gain | {"copy": 0.5} for name in lookalikes.SHOWN}
    methods["finetune_related"] = {"accuracy": [0.8, 0.9]}
    methods["l2tl"]["accuracy"] = [0.8, 0.9, 0.85]
    methods["l2tl_frozen"]["accuracy"] = [0.8, 0.8, 0.8]
    cell = {
        "cell": vars(options),
        "methods": methods,
        "l2tl over datl": {"gain": -0.6, "interval": 0.1},
    }
    *_, line = lookalikes.table([cell]).splitlines()
    assert line.startswith("| vehicles | 5 | default | 85.0 | +1.2 +- 0.3 |")
    # 0, .1, .05: a mean of .05, and 4.303 times .05 / sqrt(3)
    assert line.endswith("| -0.6 +- 0.1 | +5.0 +- 12.4 | 0.50, 0.50 |")


def test_the_experiment_of_co_tuning():
    script = load("co_tuning")
    options = script.parser().parse_args(["--pair=mnist_to_mnist_m"])
    config = script.experiment(options, 0.3)
    config_checks.check(config)
    assert config.methods == ("finetune_related", "co_tuning")
    assert config.finetuning.source_loss == options.weights[1]


def test_published_pairs_are_co_tuned_with_their_own_seeds(monkeypatch):
    script, asked = load("co_tuning"), []

    def compared(config, cell, *arguments, **more):
        asked.append(config)
        config_checks.check(config)
        return types.SimpleNamespace(results=[]), 0.0

    monkeypatch.setattr(script.cells, "compared", compared)
    options = script.parser().parse_args(["--published=glyphs_to_digits"])
    found = script.published(options)
    assert found["cell"] == {"pair": "glyphs_to_digits"}
    assert list(found["arms"]) == list(asked[0].methods)
    assert asked[0].finetuning.head == "related"
    assert asked[0].seeds == 10


def arms_of(names, gain):
    """Arms of a cell, all with the same figures."""
    row = {"accuracy": [0.8, 0.9], "over whole": gain, "over datl": gain}
    return {name: row | {"over scratch": gain} for name in names}


def test_the_table_of_wrong_labels():
    noise = load("noise")
    options = noise.parser().parse_args(["--pair=vehicles", "--wrong=.2"])
    config = noise.settings(options)
    config_checks.check(config)
    arms = arms_of(config.methods, {"gain": 1.16, "interval": 0.28})
    cell = {"cell": vars(options), "auc": 0.981, "arms": arms}
    head, _, line = noise.table([cell]).splitlines()
    assert line.startswith("| vehicles | 20% | 0.98 | 85.0 | +1.2 +- 0.3 |")
    assert line.count("|") == head.count("|")
    for arm in set(noise.SHOWN) - {noise.datl, noise.both}:
        METHODS.pop(arm.name)


def test_wrong_labels_are_of_other_classes(shared_data):
    noise = load("noise")
    right = noise.source("mnist_m", 0.0)
    assert not noise.WRONG[0].any()
    noisy = noise.source("mnist_m", 0.4)
    assert ((noisy.labels != right.labels) == noise.WRONG[0]).all()
    assert noise.WRONG[0].mean() == pytest.approx(0.4, abs=0.02)
    for arm in set(noise.SHOWN) - {noise.datl, noise.both}:
        METHODS.pop(arm.name)


def test_the_table_of_an_unlabelled_source():
    script = load("unlabelled")
    options = script.parser().parse_args(["--clusters=50"])
    config = script.settings(options)
    config_checks.check(config)
    assert config.data.source_labels == "clusters"
    methods = arms_of(config.methods, {"gain": 1.16, "interval": 0.28})
    cell = {"cell": vars(options), "methods": methods}
    _, _, line, *_ = script.table([cell]).splitlines()
    assert line == (
        "| 50 clusters | 0.5 | `scratch` | 85.0 | +1.2 +- 0.3 | +1.2 +- 0.3 |"
    )
    for name in {m.name for m in script.regime.ARMS}:
        METHODS.pop(name, None)
