import ast
import dataclasses
import importlib.util
import json

import pytest

from tests import helpers
from tf_transfer import config
from tf_transfer.commands import compare
from tf_transfer.experiment import config_checks, results, statistics
from tf_transfer.report import markdown

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
def test_config_loads_and_gives_its_command(path):
    found = load(path)
    config_checks.check(found)
    assert set(found.methods) <= set(compare.METHODS)
    command = f"tf-transfer compare --config=configs/{path.name}"
    assert command in ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("run", PUBLISHED, ids=lambda run: run.name)
def test_published_figures_are_of_the_config_as_it_is(run):
    published = json.loads((run / "config.json").read_text())
    published.pop("fingerprints")
    experiment_now = load(CONFIGS[0].with_name(f"{run.name}.py"))
    present = json.loads(json.dumps(dataclasses.asdict(experiment_now)))
    published = json.loads(json.dumps(config.completed(published)))
    assert config.differences(published, present) == []
    keys = {(result.method, result.seed) for result in results.read(run)}
    methods, seeds = experiment_now.methods, experiment_now.seeds
    assert len(keys) == len(methods) * seeds >= 5


def test_the_published_document_is_what_the_figures_give(monkeypatch):
    monkeypatch.chdir(helpers.REPOSITORY)
    text = markdown.document(PUBLISHED, "configs/results/gains.png")
    assert text == (helpers.REPOSITORY / "RESULTS.md").read_text()


@pytest.mark.slow
def test_fine_tuning_lies_in_its_published_interval(tmp_path):
    few = load(CONFIGS[0].with_name("glyphs_to_digits.py"))
    few.methods = ("finetune",)
    (row,) = compare.compare(few, tmp_path / "run", quiet=True)
    (run,) = (run for run in PUBLISHED if run.name == "glyphs_to_digits")
    (published,) = statistics.summary(results.read(run), ["finetune"])
    assert abs(row.accuracy - published.accuracy) <= published.interval
