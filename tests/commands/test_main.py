import csv
import json
import os
import pickle
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import help_text, main
from tf_transfer.config import Experiment

TINY = [
    "--config.data.image_size=8",
    "--config.data.labels_per_class=4",
    "--config.data.validation_per_class=2",
    "--config.data.source_per_class=4",
    "--config.encoder.width=4",
    "--config.generalist.steps=3",
    "--config.pretraining.steps=3",
    "--config.finetuning.steps=3",
    "--config.finetuning.learning_rates=(0.02,)",
    "--config.seeds=1",
]


def call(monkeypatch, capsys, *arguments):
    """Runs the command in this process; returns status, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["tf-transfer", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    shown = capsys.readouterr()
    return stopped.value.code, shown.out, shown.err


def test_names_beyond_what_the_terminal_can_show_are_no_fault():
    command = [sys.executable, "-m", "tf_transfer.cli", "weights", *TINY]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Most like it (weight):" in done.stdout


def test_help_costs_no_tensorflow(monkeypatch, capsys):
    for arguments in ((), ("--help",), ("-h",)):
        status, out, _ = call(monkeypatch, capsys, *arguments)
        assert (status, out) == (0, help_text.overview() + "\n")
    for arguments in (("compare", "--help"), ("--out=x", "compare", "-h")):
        status, out, _ = call(monkeypatch, capsys, *arguments)
        assert (status, out) == (0, help_text.of_command("compare") + "\n")
    for word, text in (
        ("--helpfull", help_text.fields()),
        ("--version", f"tf_transfer {tt.__version__}"),
    ):
        assert call(monkeypatch, capsys, word) == (0, f"{text}\n", "")
    code = (
        "import sys; sys.argv = ['x', 'compare', '--help']\n"
        "from tf_transfer import cli\n"
        "try: cli.main()\n"
        "finally: sys.stderr.write(str('tensorflow' in sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stderr == "False"


def test_a_reader_that_has_gone_is_no_crash():
    command = [sys.executable, "-m", "tf_transfer.cli", "--helpfull"]
    with helpers.started(command) as child:
        child.stdout.close()
        status = child.wait(60)
        assert (status, child.stderr.read()) == (141, "")
        child.stdout = None  # `communicate` reads it no more


def test_a_closing_sentence_stands_below_the_progress_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    status, _, err = call(monkeypatch, capsys, "train")
    assert status == 2
    assert err.startswith("\ntf-transfer: Give one command")


def test_compare_prints_a_table_and_paths(monkeypatch, capsys, tmp_path):
    out = tmp_path / "run"
    config = helpers.REPOSITORY / "configs" / "glyphs_to_digits.py"
    status, shown, progress = call(
        monkeypatch,
        capsys,
        "compare",
        f"--config={config}",
        f"--out={out}",
        *TINY,
        "--config.methods=('finetune','datl')",
    )
    assert status == 0
    assert "target accuracy %" in shown
    assert "datl" in shown
    assert f"  {out / 'results.json'}" in shown
    assert "left" in progress
    page = (out / "report.html").read_bytes()
    status, shown, _ = call(monkeypatch, capsys, "report", f"--run={out}")
    assert (status, shown) == (0, f"Written: {out / 'report.html'}\n")
    assert (out / "report.html").read_bytes() == page


def test_weights_prints_a_verdict(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, shown, _ = call(monkeypatch, capsys, "weights", *TINY, "--quiet")
    assert status == 0
    assert "source classes" in shown
    assert (tmp_path / "runs/glyphs_to_digits-weights/weights.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "weights, results, export, predict. Received: train"),
        (["results"], "`results` needs folders of runs after its flags"),
        (["results", "nowhere"], "no results of `compare`. Received: nowhere"),
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
        (["compare", "--config=absent.py"], "no such config file"),
        (["compare", "--config.data.sauce=glyphs"], "of the name sauce"),
        (["compare", "--config.seeds=many"], "many"),
        (["compare", "--config.seeds=0"], "`seeds` must be positive"),
        (["compare", "--config.methods=('magic',)"], "Received: 'magic'"),
        (["weights", "--config.data.source=cats"], "Received: 'cats'"),
        (["weights", "--config.data.source=npz:no.npz"], "no.npz"),
        (["weights", "--config.data.target=folder:nowhere"], "nowhere"),
        (["weights", "--config.data.image_size=1"], "`image_size`"),
        (["weights", "--config.data.channels=2"], "`channels`"),
        (["weights", "--config.datl.temperature=0"], "`datl.temperature`"),
        (["weights", "--config.encoder.name=Huge"], "Unknown encoder"),
        (["weights", "--config.encoder.name=ResNet50"], "at least 32x32"),
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
    monkeypatch, capsys, tmp_path, arguments, message
):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(monkeypatch, capsys, *arguments)
    assert status == 2
    assert message in err
    *notes, sentence = err.splitlines()
    assert notes in ([], ["[  0%] loading the data"])
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
        # In one process a config file is loaded over the one before.
        monkeypatch.delitem(sys.modules, "config_config", raising=False)
        status, _, err = call(
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
    status, _, err = call(monkeypatch, capsys, "compare", f"--config={path}")
    assert status == 2
    assert f"`{change.split('=')[0]}" in err
    assert not (tmp_path / "runs").exists()


def test_an_interruption_is_one_line_and_status_130(monkeypatch, capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "run", interrupted)
    status, _, err = call(monkeypatch, capsys, "compare")
    assert status == 130
    assert "give the same command to go on" in err


@pytest.mark.parametrize(
    "said",
    [
        "Graph execution error:\n\nDetected at node sgd/x (most recent call "
        f"last):\n{' File' * 99}\n\nCollective ops is aborted by: recvmsg:"
        "Connection reset by peer\nfrom remote target /job:worker/task:1",
        "recvmsg:Connection reset by peer\n"
        "from remote target /job:worker/task:1",
    ],
    ids=["graph", "plain"],
)
def test_a_lost_worker_is_one_line_that_names_it_and_status_3(
    monkeypatch, capsys, said
):
    def lost(argv):
        with main._explained("multi_worker", "run"):
            raise tf.errors.UnavailableError(None, None, f"{said} {'x ' * 300}")

    monkeypatch.setattr(main, "run", lost)
    status, _, err = call(monkeypatch, capsys, "compare")
    assert status == 3
    assert err.count("\n") == 1
    assert "is gone; start all of them again" in err
    _, cause = err.split("Received: UnavailableError: ")
    assert cause.startswith(
        "recvmsg:Connection reset by peer from remote target /job:worker/task:1"
    )
    assert len(cause) < 210


def test_bad_labels_and_pixels_in_a_file(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((6, 8, 8))
    names = np.array(["a", "b"])
    cases = {
        "label": (pixels, [0, 1, 2, 0, 1, 0], "[0, 2). Received: label 2"),
        "nan": (pixels * np.nan, [0, 1] * 3, "finite"),
        "empty": (pixels[:0], np.zeros(0, int), "no images"),
        "words": (pixels, ["a", "b"] * 3, "must hold class numbers"),
        "huge": (pixels, [0, 2**60] * 3, "must hold class numbers"),
        "flat": (pixels[0], [0] * 8, "must hold numbers of shape"),
        "text": (pixels.astype(str), [0, 1] * 3, "must hold numbers"),
        "vast": (pixels + 1e300, [0, 1] * 3, "real numbers up to"),
        "thin": (pixels[:, :0], [0, 1] * 3, "must have pixels"),
    }
    for name, (x, y, message) in cases.items():
        np.savez(f"{name}.npz", x_train=x, y_train=y, class_names=names)
        status, _, err = call(
            monkeypatch,
            capsys,
            "weights",
            f"--config.data.target=npz:{name}.npz",
            "--config.data.source=digits",
        )
        assert status == 2
        assert message in err
    assert not (tmp_path / "runs").exists()


def test_the_built_in_experiment_can_go_to_another_process():
    _, values = main._parse(["tf-transfer", "compare", "--config.seeds=2"])
    assert type(values.config) is Experiment
    assert pickle.loads(pickle.dumps(values.config)) == values.config
    assert values.config.seeds == 2


def test_classes_are_chosen_by_name(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, shown, _ = call(
        monkeypatch,
        capsys,
        "weights",
        *TINY,
        "--config.data.source_classes=('A','B','C')",
        "--config.data.target_classes=('7','1')",
        "--out=run",
    )
    assert status == 0
    assert "of 3 source classes" in shown
    with open("run/weights.csv", encoding="utf-8") as file:
        assert [row["class"] for row in csv.DictReader(file)] == list("ABC")


def finished(folder):
    """A folder with the figures of a finished run."""
    folder.mkdir(parents=True)
    data = {"source": "glyphs", "target": "digits", "labels_per_class": 4}
    config = {
        "data": data | {"validation_per_class": 2},
        "methods": ["finetune", "datl"],
        "seeds": 2,
    }
    results = [
        helpers.result(method, seed, accuracy).to_json()
        for method, accuracies in (("finetune", (8, 9)), ("datl", (8.5, 9.5)))
        for seed, accuracy in enumerate(np.divide(accuracies, 10))
    ]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "results.json").write_text(json.dumps(results))


@pytest.mark.parametrize("name", [None, "mine.md"])
def test_results_writes_a_document_and_a_plot(
    monkeypatch, capsys, tmp_path, name
):
    monkeypatch.chdir(tmp_path)
    finished(tmp_path / "runs" / "one")
    finished(tmp_path / "runs" / "two")
    flags = [f"--out={name}"] if name else []
    status, shown, _ = call(
        monkeypatch, capsys, "results", *flags, "runs/one", "runs/two"
    )
    assert status == 0
    out, plot = name or "RESULTS.md", tmp_path / "runs" / "gains.png"
    assert shown == f"Written: {out}\nWritten: {plot}\n"
    text = (tmp_path / out).read_text()
    assert "| one | 85.0 +- 63.5 | datl | +5.0 +- 0.0 | -33 % |" in text
    assert "## Two\n" in text
    assert plot.stat().st_size > 1000
    status, _, err = call(
        monkeypatch, capsys, "results", *flags, "runs/one", "runs/three"
    )
    assert status == 2
    assert err == (
        "tf-transfer: There is no run of `compare` in the folder. "
        "Received: runs/three\n"
    )
    assert (tmp_path / out).read_text() == text


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run without interruptions, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    with helpers.started(helpers.tiny_command(folder)) as child:
        shown, errors = child.communicate(timeout=400)
    assert child.returncode == 0, errors
    return folder / "run", shown, errors


@pytest.mark.slow
def test_no_command_prints_the_noise_of_tensorflow(whole, tmp_path):
    run, shown, errors = whole
    assert shown.count("target accuracy %") == 1
    assert all(line.startswith("[") for line in errors.splitlines()), errors
    keras.utils.save_img(tmp_path / "a.png", np.zeros((8, 8, 1)), scale=False)
    settings = [w for w in helpers.tiny_command(tmp_path) if "data." in w]
    commands = (
        ["weights", "--quiet", "--config.generalist.steps=3", *settings],
        ["results", str(run)],
        ["export", f"--run={run}", "--out=exported"],
        ["predict", f"--model={run}/export/1", "a.png"],
    )
    quiet_itself = {**os.environ}
    quiet_itself.pop("TF_CPP_MIN_LOG_LEVEL")
    for command in commands:
        found = subprocess.run(
            [sys.executable, "-m", "tf_transfer.cli", *command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=quiet_itself | {"PYTHONPATH": str(helpers.REPOSITORY)},
        )
        assert (found.returncode, found.stderr) == (0, ""), command
        assert found.stdout


@pytest.mark.slow
def test_interrupted_runs_go_on_by_the_same_command(whole, tmp_path):
    """SIGTERM saves first; after Ctrl-C the last checkpoint is there."""
    command, out = helpers.tiny_command(tmp_path), tmp_path / "run"
    with helpers.started(command) as child:
        helpers.wait_for_a_checkpoint(out)
        child.terminate()
        status, errors = helpers.ended(child, timeout=60)
    assert status == 143
    assert "stopped; give the same command to go on" in errors
    assert "Traceback" not in errors
    (tmp_path / "source.npz").rename(tmp_path / "gone.npz")
    with helpers.started(command) as child:
        status, errors = helpers.ended(child, timeout=200)
    assert status == 2
    assert "The NumPy archive cannot be read" in errors.splitlines()[-1]
    (tmp_path / "gone.npz").rename(tmp_path / "source.npz")
    before = helpers.checkpoints(out)
    with helpers.started(command) as child:
        helpers.wait_for_a_checkpoint(out, besides=before)
        child.send_signal(signal.SIGINT)
        status, errors = helpers.ended(child, timeout=60)
    assert status == 130
    *progress, sentence = errors.splitlines()
    assert (
        sentence == "tf-transfer: interrupted; give the same command to go on"
    )
    assert all(line.startswith("[") for line in progress), errors
    assert not (out / "results.json").exists()
    with helpers.started(command) as child:
        status, errors = helpers.ended(child, timeout=400)
    assert status == 0, errors
    helpers.same_models(out, whole[0], atol=0)


@pytest.mark.slow
def test_sigterm_ends_the_jobs_too_and_they_go_on(tmp_path):
    """Of the built-in experiment, which other processes must import."""
    out = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "tf_transfer.cli", "compare", "--jobs=2"),
        *(f for f in TINY if "seeds" not in f and "finetuning.steps" not in f),
        "--config.finetuning.steps=1500",
        "--config.checkpoint_every=20",
        "--config.methods=('finetune',)",
        *("--config.seeds=2", f"--out={out}"),
    ]
    with helpers.started(command) as child:
        helpers.wait_for_a_checkpoint(out)
        child.terminate()
        status, errors = helpers.ended(child, timeout=200)
    assert status == 143, errors
    assert "stopped; give the same command to go on" in errors
    assert "Traceback" not in errors
    assert not (out / "results.json").exists()
    with helpers.started(command) as child:
        shown, errors = child.communicate(timeout=400)
    assert child.returncode == 0, errors
    assert "By the validation images plain fine-tuning is the choice" in shown
    for seed in (1, 2):
        assert errors.count(f"[  0%] seed {seed}/2, finetune") == 1
        assert (out / "checkpoints" / f"finetune-{seed - 1}.keras").exists()
    assert not (out / "checkpoints" / "stages").exists()


def in_a_small_disk(tmp_path, options, command):
    """Runs a command with a file system of its own under `tmp_path/run`."""
    (tmp_path / "run").mkdir()
    mount = f"mount -t tmpfs -o {options} none {tmp_path / 'run'}"
    script = f'{mount} || exit 99; "$@"; status=$?; ls -R {tmp_path / "run"}'
    try:
        found = subprocess.run(
            [
                *("unshare", "-rm", "sh", "-c", f"{script}; exit $status"),
                "sh",
                *command,
            ],
            capture_output=True,
            text=True,
            timeout=400,
        )
    except FileNotFoundError:
        pytest.skip("needs unshare, to mount a small disk")
    if found.returncode == 99 or "unshare" in found.stderr:
        pytest.skip(f"cannot mount a small disk: {found.stderr.strip()}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", ["60k", "600k"])
def test_a_full_disk_is_one_sentence(tmp_path, size):
    command = helpers.tiny_command(tmp_path)
    found = in_a_small_disk(tmp_path, f"size={size}", command)
    assert found.returncode == 2, found.stderr
    last = found.stderr.strip().splitlines()[-1]
    assert "cannot be written (No space left on device" in last
    assert "Traceback" not in found.stderr
    assert "partial-" not in found.stdout


@pytest.mark.slow
def test_a_read_only_folder_is_one_sentence(tmp_path):
    command = helpers.tiny_command(tmp_path)
    found = in_a_small_disk(tmp_path, "ro", command)
    assert found.returncode == 2, found.stderr
    last = found.stderr.strip().splitlines()[-1]
    assert last == (
        "tf-transfer: The folder cannot be written (Read-only file system). "
        f"Received: {tmp_path / 'run'}"
    )
