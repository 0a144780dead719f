"""A method is one file and one import: the rest of the package follows it."""

import ast
import dataclasses
import importlib.util

import pytest

import tf_transfer as tt
from tests import helpers
from tests.test_layering import MODULES, name
from tf_transfer.experiment import runner, statistics
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.methods.base import planned_steps
from tf_transfer.experiment.records import results
from tf_transfer.report import charts, markdown
from tf_transfer.report.text import advice, table
from tf_transfer.utils.storage.folders import Folder

SPECIALIST = '''
"""Pre-training on the most likely source classes alone."""

from tf_transfer.experiment.methods import base
from tf_transfer.experiment.methods.base import register
from tf_transfer.utils.storage.folders import Folder


@register(
    stages=lambda config: (
        base.whole_source(config)
        | {"specialist/pretraining": config.pretraining.steps}
        | base.tuning(config, "specialist")
    ),
    candidate=True,
    controls=("finetune_related", "datl_uniform"),
)
def specialist(run):
    """Pre-trains on the two most likely source classes, then fine-tunes."""
    return run.finetune(run.pretrain(run.importance(top_k=2)))
'''


@pytest.fixture
def specialist(tmp_path):
    """Imports the method from a file of its own."""
    path = tmp_path / "specialist.py"
    path.write_text(SPECIALIST)
    spec = importlib.util.spec_from_file_location("specialist", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield METHODS["specialist"]
    del METHODS["specialist"]


@pytest.fixture
def config(specialist):
    methods = ("finetune", "finetune_related", "datl_uniform", "specialist")
    return helpers.tiny_experiment(methods=methods, seeds=2)


class Progress:
    """Counts the planned steps and those that were taken."""

    def __init__(self, planned, quiet):
        Progress.last = self
        self.planned, self.done, self.quiet = planned, 0, quiet

    def advance(self, steps):
        self.done += steps

    def start(self, activity):
        pass

    def clear(self):
        pass

    def close(self):
        pass


@pytest.mark.slow
def test_it_is_planned_run_judged_and_reported(config, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "Progress", Progress)
    folder = tmp_path / "run"
    rows = tt.compare(config, folder, quiet=True, **helpers.domains())

    # Planned: the generalist, its own pre-training, and two fine-tunings.
    assert planned_steps(config, ["specialist"]) == 20 + 4 + 2 * 4
    progress = Progress.last
    assert progress.done == progress.planned == 2 * (20 + 3 * 4 + 4 * 2 * 4)

    # Run, and judged against its controls.
    assert [row.method for row in rows] == list(config.methods)
    sentences = advice(results.read(Folder(folder)), config.methods)
    (sentence,) = (s for s in sentences if s.startswith("specialist "))
    assert "finetune_related" in sentence
    assert "datl_uniform" in sentence
    assert "specialist " in table(rows, seeds=2)

    # In the report and the document, and in a colour of its own.
    page = (folder / "report.html").read_text()
    assert page.count("specialist") > 3
    assert METHODS["specialist"].about in page
    assert "series-violet" in page
    assert charts.look("specialist") == ("olive", "")
    assert "| specialist" in markdown.document([folder], "gains.png")


def test_it_can_be_chosen(config):
    scores = {"finetune": 0.5, "finetune_related": 0.6, "specialist": 0.9}
    results = [
        helpers.result(name, seed, scores.get(name, 0.4))
        for name in config.methods
        for seed in range(2)
    ]
    assert statistics.choose(results, config.methods) == "specialist"
    method = METHODS["specialist"]
    METHODS["specialist"] = dataclasses.replace(method, candidate=False)
    assert statistics.choose(results, config.methods) == "finetune_related"


def test_no_other_module_names_a_method():
    """But the defaults of `config`, the sentences and the names of files."""
    methods = set(METHODS)
    for path in MODULES:
        if "methods" in path.parts or path.name == "config.py":
            continue
        literals = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        # A stage is called `joint`, too.
        assert not literals & methods - {"joint"}, name(path)
