"""Links in a run's folder that somebody else has made."""

import contextlib
import shutil

import pytest

from tests import helpers
from tf_transfer.commands import compare, export
from tf_transfer.errors import InputError, Stopped
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.report import html


def run(folder):
    config = helpers.tiny_experiment(methods=("finetune", "datl"))
    config.checkpoint_every = 1
    compare.compare(config, folder, quiet=True, **helpers.domains())


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """A run that was stopped after its first method, inside a stage."""
    folder = tmp_path_factory.mktemp("made") / "run"
    add, save = RunFolder.add, RunFolder.save_model
    with pytest.MonkeyPatch.context() as patch:

        def stop(self, model, name, seed):
            if name == "datl":
                raise Stopped
            save(self, model, name, seed)

        patch.setattr(RunFolder, "save_model", stop)
        patch.setattr(RunFolder, "add", add)
        with contextlib.suppress(Stopped):
            run(folder)
    assert (folder / "checkpoints" / "stages" / "datl-0").is_dir()
    return folder


def content(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


PLACES = [
    "checkpoints/stages/datl-0/0",
    "predictions",
    "report.html",
]
MORE_PLACES = [
    "checkpoints",
    "checkpoints/stages",
    "checkpoints/stages/datl-0",
    "checkpoints/datl-0.keras",
    "predictions/datl-0.npz",
    "tensorboard",
    "tensorboard/stages",
    "tensorboard/results/datl-0",
    "export",
    "weights.csv",
    "weights.png",
    "results.json",
    "data.json",
]


@pytest.mark.parametrize(
    "name",
    [
        *PLACES,
        *(pytest.param(each, marks=pytest.mark.slow) for each in MORE_PLACES),
    ],
)
@pytest.mark.slow
def test_a_run_that_goes_on_writes_and_deletes_in_its_folder_alone(
    unfinished, tmp_path, name
):
    home = tmp_path / "home"
    shutil.copytree(unfinished, home / "of_others")
    (home / "file").write_text("precious")
    shutil.copytree(unfinished, tmp_path / "run")
    link = tmp_path / "run" / name
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    other = home / "of_others" / name
    link.symlink_to(other if other.exists() else home / "file")
    before = content(home)
    for command in (run, html.rewrite, export.export):
        with contextlib.suppress(InputError):
            command(tmp_path / "run")
    assert content(home) == before
