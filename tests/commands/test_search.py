import json

import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import search
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import results
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


def test_refuses_an_unknown_search(tmp_path):
    config = helpers.tiny_experiment()
    with pytest.raises(InputError, match=r"all, halving\. Received: 'half'"):
        tt.compare(config, tmp_path / "run", search="half")
    assert not (tmp_path / "run").exists()


def test_refuses_to_search_with_several_machines():
    with pytest.raises(InputError, match="several machines"):
        search.check("halving", "multi_worker")


def test_the_folder_of_the_search_lies_beside_the_run():
    assert search.folder_of("runs/one/") == "runs/one-search"
