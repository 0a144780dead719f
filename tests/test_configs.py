import ast
import dataclasses
import importlib.util
import json

import pytest

from tests import helpers
from tf_transfer.commands import compare
from tf_transfer.experiment import config_checks, statistics
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.records import results, stored_config
from tf_transfer.report import markdown
from tf_transfer.utils.storage.folders import Folder

CONFIGS = sorted((helpers.REPOSITORY / "configs").glob("*.py"))
PUBLISHED = sorted(
    path.parent for path in CONFIGS[0].parent.glob("results/*/results.json")
)


def load(path):
    """Returns the experiment of a config file."""
    spec = importlib.util.spec_from_file_location("settings", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_loads_and_states_its_command(path):
    experiment = load(path)
    config_checks.check(experiment)
    assert set(experiment.methods) <= set(METHODS)
    command = f"tf-transfer compare --config=configs/{path.name}"
    assert command in ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("run", PUBLISHED, ids=lambda run: run.name)
def test_published_figures_belong_to_the_current_config(run):
    published = json.loads((run / "config.json").read_text())
    published.pop("fingerprints")
    experiment = load(CONFIGS[0].with_name(f"{run.name}.py"))
    current = json.loads(json.dumps(dataclasses.asdict(experiment)))
    published = json.loads(json.dumps(stored_config.completed(published)))
    assert stored_config.differences(published, current) == []
    keys = {
        (result.method, result.seed) for result in results.read(Folder(run))
    }
    methods, seeds = experiment.methods, experiment.seeds
    assert len(keys) == len(methods) * seeds >= 5


def test_the_published_document_is_written_from_the_figures(monkeypatch):
    monkeypatch.chdir(helpers.REPOSITORY)
    text = markdown.document(PUBLISHED, "configs/results/gains.png")
    assert text == (helpers.REPOSITORY / "RESULTS.md").read_text()


@pytest.mark.slow
def test_fine_tuning_lies_in_its_published_interval(tmp_path):
    experiment = load(CONFIGS[0].with_name("glyphs_to_digits.py"))
    experiment.methods = ("finetune",)
    (row,) = compare.compare(experiment, tmp_path / "run", quiet=True)
    (run,) = (run for run in PUBLISHED if run.name == "glyphs_to_digits")
    (published,) = statistics.summary(results.read(Folder(run)), ["finetune"])
    assert abs(row.accuracy - published.accuracy) <= published.interval
