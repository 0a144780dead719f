import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import arguments, help_text, main
from tf_transfer.utils import progress


@pytest.mark.slow
def test_names_that_the_terminal_cannot_encode_are_printed():
    command = [
        sys.executable,
        "-m",
        "tf_transfer.cli",
        "weights",
        *helpers.TINY_SETTINGS,
    ]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    finished = subprocess.run(
        command, env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0
    assert "Most like it (weight):" in finished.stdout


def test_help_costs_no_tensorflow(monkeypatch, capsys):
    for words in ((), ("--help",), ("-h",)):
        status, out, _ = helpers.call_command(monkeypatch, capsys, *words)
        assert (status, out) == (0, arguments.help_of("") + "\n")
    for words in (("compare", "--help"), ("--out=x", "compare", "-h")):
        status, out, _ = helpers.call_command(monkeypatch, capsys, *words)
        assert (status, out) == (0, arguments.help_of("compare") + "\n")
    for word, text in (
        ("--helpfull", help_text.fields()),
        ("--version", f"tf_transfer {tt.__version__}"),
    ):
        output = helpers.call_command(monkeypatch, capsys, word)
        assert output == (0, f"{text}\n", "")
    code = (
        "import sys; sys.argv = ['x', 'compare', '--help']\n"
        "from tf_transfer import cli\n"
        "try: cli.main()\n"
        "finally: sys.stderr.write(str('tensorflow' in sys.modules))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stderr == "False"


def test_a_closed_standard_output_is_no_crash():
    command = [sys.executable, "-m", "tf_transfer.cli", "--helpfull"]
    with helpers.started(command) as child:
        child.stdout.close()
        status = child.wait(60)
        assert (status, child.stderr.read()) == (141, "")
        child.stdout = None  # so that `communicate` does not read it


def test_a_closing_sentence_stands_below_the_progress_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for begun in (False, True):
        if begun:
            progress.Progress(planned=2).start("datl")
        status, _, err = helpers.call_command(monkeypatch, capsys, "train")
        assert status == 2
        assert "\n".join(err.split("\n")[begun:]).startswith(
            "tf-transfer: Give one command"
        )


def test_an_interruption_is_one_line_and_status_130(monkeypatch, capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "run", interrupted)
    status, _, err = helpers.call_command(monkeypatch, capsys, "compare")
    assert status == 130
    assert "the same command continues the run" in err


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run without interruptions, and its output."""
    folder = tmp_path_factory.mktemp("whole")
    with helpers.started(helpers.tiny_command(folder)) as child:
        output, errors = child.communicate(timeout=400)
    assert child.returncode == 0, errors
    return folder / "run", output, errors


@pytest.mark.slow
def test_no_command_prints_the_noise_of_tensorflow(whole, tmp_path):
    run, output, errors = whole
    assert output.count("target accuracy %") == 1
    assert all(line.startswith("[") for line in errors.splitlines()), errors
    keras.utils.save_img(tmp_path / "a.png", np.zeros((8, 8, 1)), scale=False)
    settings = [w for w in helpers.tiny_command(tmp_path) if "data." in w]
    commands = (
        ["weights", "--quiet", "--config.generalist.steps=3", *settings],
        ["results", str(run)],
        ["export", f"--run={run}", "--out=exported"],
        ["predict", f"--model={run}/export/1", "a.png"],
    )
    environment = {**os.environ}
    environment.pop("TF_CPP_MIN_LOG_LEVEL")
    for command in commands:
        finished = subprocess.run(
            [sys.executable, "-m", "tf_transfer.cli", *command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(helpers.REPOSITORY)},
        )
        assert (finished.returncode, finished.stderr) == (0, ""), command
        assert finished.stdout


@pytest.mark.slow
def test_the_same_command_continues_an_interrupted_run(whole, tmp_path):
    """SIGTERM saves first; Ctrl-C leaves the last checkpoint."""
    command, out = helpers.tiny_command(tmp_path), tmp_path / "run"
    with helpers.started(command) as child:
        helpers.wait_for_a_checkpoint(out)
        child.terminate()
        status, errors = helpers.ended(child, timeout=60)
    assert status == 143
    assert "stopped; the same command continues the run" in errors
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
        sentence
        == "tf-transfer: interrupted; the same command continues the run"
    )
    assert all(line.startswith("[") for line in progress), errors
    assert not (out / "results.json").exists()
    with helpers.started(command) as child:
        status, errors = helpers.ended(child, timeout=400)
    assert status == 0, errors
    helpers.same_models(out, whole[0], atol=0)


@pytest.mark.slow
def test_sigterm_ends_the_jobs_too_and_they_continue(tmp_path):
    """Other processes must import the built-in experiment."""
    out = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "tf_transfer.cli", "compare", "--jobs=2"),
        *(
            setting
            for setting in helpers.TINY_SETTINGS
            if "seeds" not in setting and "finetuning.steps" not in setting
        ),
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
    assert "stopped; the same command continues the run" in errors
    assert "Traceback" not in errors
    assert not (out / "results.json").exists()
    with helpers.started(command) as child:
        output, errors = child.communicate(timeout=400)
    assert child.returncode == 0, errors
    assert "By the validation images finetune, fine-tuning from the" in output
    for seed in (0, 1):
        assert f"[  0%] seed {seed} of 0..1, finetune" in errors
        assert (out / "checkpoints" / f"finetune-{seed}.keras").exists()
    assert not (out / "checkpoints" / "stages").exists()
