import copy
import json
import pathlib

import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import search
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import results
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.utils.storage.folders import Folder


@pytest.mark.slow
def test_halving_ends_with_the_results_of_a_full_comparison(tmp_path):
    methods = ("finetune_related", "scratch", "datl", "datl_uniform")
    config = helpers.tiny_experiment(methods=methods, seeds=3)
    config.finetuning.head = "related"
    domains = helpers.domains()
    tt.compare(config, tmp_path / "full", quiet=True, **domains)
    full = {
        (r.method, r.seed): r.test
        for r in results.read(Folder(tmp_path / "full"))
    }
    out = tmp_path / "halved"
    rows = tt.compare(config, out, quiet=True, search="halving", **domains)
    rounds = json.loads((tmp_path / "halved-search" / search.NAME).read_text())
    assert list(rounds[0]["accuracy"]) != rounds[0]["kept"]
    left = {"finetune_related", *rounds[-1]["kept"]}
    assert {row.method for row in rows} == left
    found = results.read(Folder(out))
    assert {(r.method, r.seed) for r in found} == {
        (method, seed) for method in left for seed in range(3)
    }
    for result in found:
        assert result.test == full[result.method, result.seed]
    assert (out / "export" / "1").is_dir()
    assert "What was to be expected" in (out / "report.html").read_text()
    # The same command again trains and changes nothing.
    before = (out / "results.json").read_bytes()
    tt.compare(config, out, quiet=True, search="halving", **domains)
    assert (out / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("a file", "no run of `compare`"),
        ("other settings", "no search has begun"),
        ("all methods", "no search has begun"),
    ],
)
def test_a_folder_of_something_else_is_refused_before_the_search(
    tmp_path, found, message
):
    methods = ("finetune_related", "scratch", "datl")
    config = helpers.tiny_experiment(methods=methods, seeds=2)
    config.finetuning.head = "related"
    out = tmp_path / "run"
    if found == "a file":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    else:
        other = copy.deepcopy(config)
        if found == "other settings":
            other.seeds, other.methods = 3, methods[:2]
        RunFolder(out, other, {})
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(InputError, match=message):
        tt.compare(
            config, out, quiet=True, search="halving", **helpers.domains()
        )
    assert sorted(path.name for path in out.iterdir()) == before
    assert not (tmp_path / "run-search").exists()


def test_refuses_an_unknown_search(tmp_path):
    config = helpers.tiny_experiment()
    with pytest.raises(InputError, match=r"all, halving\. Received: 'half'"):
        tt.compare(config, tmp_path / "run", search="half")
    assert not (tmp_path / "run").exists()


def test_refuses_to_search_with_several_machines():
    with pytest.raises(InputError, match="several machines"):
        search.check("halving", "multi_worker")


def test_the_folder_of_the_search_lies_beside_the_run():
    here = pathlib.Path.cwd()
    assert search.folder_of("runs/one/") == here / "runs" / "one-search"
    assert search.folder_of(".") == here.with_name(f"{here.name}-search")
