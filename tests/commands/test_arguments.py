import os
import pickle
import subprocess
import sys

import pytest

from tests import helpers
from tf_transfer.commands import arguments
from tf_transfer.config import Experiment


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["train"],
            "results, export, predict, cache. Received: train",
        ),
        (["results"], "`results` needs folders of runs after its flags"),
        (
            ["results", "nowhere"],
            "no run of `compare` in the folder. Received: nowhere",
        ),
        (["results", "--jobs=2", "x"], "Received: --jobs"),
        (["results", "--config.seeds=3", "x"], "Received: --config.seeds"),
        (["weights", "--jobs=2"], "Received: --jobs"),
        (["compare", "--jobs=0"], "`jobs` must be at least 1"),
        (["compare", "--jobs=-1"], "`jobs` must be at least 1"),
        (["compare", "--jobs=two"], "--jobs=two"),
        (["compare", "--jobs=1.5"], "--jobs=1.5"),
        (
            ["compare", "--jobs=2", "--config.strategy=mirrored"],
            "`jobs` must be at least 1, and 1 with a strategy that uses",
        ),
        (["export"], "`export` needs --run=FOLDER. Received: no --run"),
        (["export", "--run=nowhere"], "no run of `compare`"),
        (["report"], "`report` needs --run=FOLDER. Received: no --run"),
        (["report", "--run=nowhere"], "no run of `compare`"),
        (["export", "--run=x", "y"], "Received: export y"),
        (["export", "--run=x", "--quiet"], "Received: --quiet"),
        (["export", "--run=x", "--config.seeds=3"], "Received: --config.seeds"),
        (["compare", "--int8"], "Received: --int8"),
        (["predict", "a.png"], "`predict` needs --model=FOLDER"),
        (["predict", "--model=x"], "needs image files"),
        (["predict", "--model=x", "a.png"], "no SavedModel"),
        (["compare", "weights"], "Received: compare weights"),
        (["--quiet"], "Received: none"),
        (["compare", "--no_such_flag"], "no_such_flag"),
        (["compare", "--job=2"], "Unknown command line flag 'job'"),
        (["compare", "--jobs"], "Missing value for flag --jobs"),
        (["compare", "--out=x", "y"], "Received: compare y"),
        (["compare", "--config"], "Missing value for flag --config"),
        (["compare", "--quiet=maybe"], "Non-boolean argument"),
        ([""], "Give one command"),
        (["compare", "--config=absent.py"], "no such config file"),
        (["compare", "--config.data.sauce=glyphs"], "of the name sauce"),
        (["compare", "--config.seeds=many"], "many"),
        (["compare", "--config.seeds=0"], "`seeds` must be from 1 to"),
        (["compare", "--config.methods=('magic',)"], "Received: 'magic'"),
        (["weights", "--config.data.source=cats"], "Received: 'cats'"),
        (["weights", "--config.data.source=npz:no.npz"], "no.npz"),
        (["weights", "--config.data.target=folder:nowhere"], "nowhere"),
        (["weights", "--config.data.image_size=1"], "`image_size`"),
        (["weights", "--config.data.channels=2"], "`channels`"),
        (["weights", "--config.datl.temperature=0"], "`datl.temperature`"),
        (["weights", "--config.encoder.name=Huge"], "Unknown encoder"),
        (
            [
                "weights",
                "--config.encoder.name=ResNet50",
                "--config.data.image_size=12",
            ],
            "at least 32x32",
        ),
        (["weights", "--config.generalist_path=no.keras"], "no.keras"),
        (
            ["compare", "--config.data.source_classes=('cat',)"],
            "There is no such class; there are ",
        ),
        (
            ["compare", "--config.data.target_classes=('1', '10')"],
            "8, 9. Received: '10'",
        ),
        (["compare", "--config.data.source_classes=(0,1)"], "tuple[str, ...]"),
        (["weights", "--config.data.target_classes=7"], "tuple[str, ...]"),
        (["weights", "--config.relevant=1"], "`relevant` must be tuple[str"),
        (
            [
                "weights",
                "--config.data.source_classes=('A','B')",
                "--config.relevant=('C',)",
            ],
            "`relevant` must name source classes. Received: 'C'",
        ),
        (
            ["compare", "--config.relevant=('cat',)"],
            "`relevant` must name source classes. Received: 'cat'",
        ),
        (["compare", "--config.generalist.learning_rate=inf"], "inf"),
        (["compare", "--seeds=3"], "(did you mean --config.seeds?)"),
        (
            ["weights", "--config.data.lables_per_class=3"],
            "lables_per_class (did you mean --config.data.labels_per_class?)",
        ),
        (["compare", "--config.generalist.learning_rate=nan"], "nan"),
        (["compare", "--config.datl.temper=1e10"], "`datl.temper`"),
        (["compare", "--config.finetuning.learning_rates=(0.1,nan)"], "nan"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    monkeypatch, capsys, tmp_path, words, message
):
    monkeypatch.chdir(tmp_path)
    status, out, err = helpers.call_command(monkeypatch, capsys, *words)
    assert status == 2
    assert message in err
    *notes, sentence = err.splitlines()
    assert all(line.startswith(("[  0%] ", "[note] ")) for line in notes)
    assert sentence.startswith("tf-transfer: ")
    assert "Received: " in sentence
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_config_file_that_fails_is_one_sentence(
    monkeypatch, capsys, tmp_path
):
    path = tmp_path / "bad.py"
    good = "from tf_transfer.config import Experiment\ndef get_config():\n"
    for content in (
        "1/0",
        "import sys; sys.exit(3)",
        "x = 1",
        "x =",
        "def get_config(): return 3",
        f"{good}  return Experiment",
        f"{good}  return Experiment(nosuch=1)",
    ):
        path.write_text(content)
        # Otherwise Python keeps what the file before has defined.
        monkeypatch.delitem(sys.modules, "config_config", raising=False)
        status, _, err = helpers.call_command(
            monkeypatch, capsys, "compare", f"--config={path}"
        )
        assert status == 2
        assert err.count("\n") == 1
        assert "bad.py" in err


@pytest.mark.parametrize(
    "change",
    [
        "data=None",
        "datl={}",
        "seeds='3'",
        "seeds=True",
        "methods=None",
        "methods='datl'",
        "generalist_path=None",
        "relevant='A'",
        "relevant=['A']",
        "generalist=Training(steps=10.5)",
    ],
)
def test_a_config_file_of_wrong_types(monkeypatch, capsys, tmp_path, change):
    path = tmp_path / "bad.py"
    path.write_text(
        "from tf_transfer.config import Experiment, Training\n"
        f"def get_config(): return Experiment({change})"
    )
    monkeypatch.chdir(tmp_path)
    status, _, err = helpers.call_command(
        monkeypatch, capsys, "compare", f"--config={path}"
    )
    assert status == 2
    assert f"`{change.split('=')[0]}" in err
    assert not (tmp_path / "runs").exists()


def test_the_built_in_experiment_can_go_to_another_process():
    line = arguments.parse(["tf-transfer", "compare", "--config.seeds=2"])
    experiment = line.flags.config
    assert type(experiment) is Experiment
    assert pickle.loads(pickle.dumps(experiment)) == experiment
    assert experiment.seeds == 2


@pytest.mark.parametrize(
    ("words", "command", "values"),
    [
        ("compare --out x --jobs -1", "compare", {"out": "x", "jobs": -1}),
        ("--out compare weights", "weights", {"out": "compare"}),
        ("--quiet --out=x compare", "compare", {"quiet": True, "out": "x"}),
        ("compare -out=x -jobs 2", "compare", {"out": "x", "jobs": 2}),
        ("compare --quiet=false", "compare", {"quiet": False}),
        ("--noquiet compare --jobs=2 --jobs=3", "compare", {"jobs": 3}),
        ("compare --undefok=new --new=1", "compare", {"jobs": 1}),
        ("export --run=x --int8=true", "export", {"run": "x", "int8": True}),
    ],
)
def test_flags_are_written_as_absl_allows(words, command, values):
    line = arguments.parse(["tf-transfer", *words.split()])
    assert (line.command.name, line.files) == (command, [])
    assert {name: line.flags[name].value for name in values} == values


@pytest.mark.parametrize(
    ("words", "files"),
    [
        ("predict --model x a.png b.png", ["a.png", "b.png"]),
        ("predict a.png -model x b.png", ["a.png", "b.png"]),
        ("predict --model=x -- -a.png", ["-a.png"]),
    ],
)
def test_files_stand_among_the_flags(words, files):
    line = arguments.parse(["tf-transfer", *words.split()])
    assert (line.flags.model, line.files) == ("x", files)


@pytest.mark.parametrize(
    ("words", "align", "seeds"),
    [
        ("compare --config.data.align=False", False, 5),
        ("--noconfig.data.align compare --config.seeds 3", False, 3),
        ("--config.data.align compare -config.seeds=2", True, 2),
    ],
)
def test_settings_are_written_as_absl_allows(words, align, seeds):
    experiment = arguments.parse(["tf-transfer", *words.split()]).flags.config
    assert experiment.data.align is align
    assert experiment.seeds == seeds


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tf-transfer co", ["compare"]),
        ("tf-transfer export --in", ["--int8"]),
        ("tf-transfer compare --config.see", ["--config.seeds"]),
        ("tf-transfer export --config.see", []),
    ],
)
def test_a_shell_completes_commands_flags_and_fields(tmp_path, line, expected):
    pytest.importorskip("argcomplete")
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "answer"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "PYTHONPATH": str(helpers.REPOSITORY),
    }
    subprocess.run(
        [sys.executable, "-m", "tf_transfer.cli"],
        env=os.environ | asked,
        cwd=tmp_path,
        check=True,
    )
    assert (tmp_path / "answer").read_text().split() == expected
