"""What the README says is true of the files beside it."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import arguments
from tf_transfer.experiment.methods import METHODS

README = (helpers.REPOSITORY / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_runs_the_test_command_of_the_readme():
    command = "pip install '.[test]' && python -m pytest"
    assert command in README
    script = (helpers.REPOSITORY / ".ci" / "run").read_text()
    assert command in script.splitlines()


def test_names_in_the_python_example_exist():
    for example in blocks("python"):
        compile(example, "README.md", "exec")
    for name in re.findall(r"\btt\.(\w+)", README):
        assert name in tt.__all__, name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
def test_the_python_examples_run_one_after_the_other(tmp_path, monkeypatch):
    """As written, but for the number of steps."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in blocks("python"):
        example = re.sub(r"steps_per_epoch=\d+", "steps_per_epoch=2", example)
        example = example.replace("epochs=10", "epochs=2")
        example = example.replace("source.batches(64)", "few(source)")
        names["few"] = lambda images: images.batches(64).take(2)
        exec(compile(example, "README.md", "exec"), names)
    assert names["weights"].updates.numpy() > 0
    assert names["resume"].history()["loss"]
    assert (tmp_path / "export" / "2" / "saved_model.pb").exists()


@pytest.mark.parametrize("line", re.findall(r"tf-transfer [^\n`]+", README))
def test_commands_parse(line, monkeypatch):
    monkeypatch.chdir(helpers.REPOSITORY)
    words = shlex.split(line.replace("\\", "").split("&&")[0])
    assert arguments.parse(words).command.name == words[1]


def test_files_and_methods_named_in_the_readme_exist():
    for path in re.findall(
        r"`((?:tf_transfer|tests|configs)/[\w/.]+)`", README
    ):
        assert (helpers.REPOSITORY / path).exists(), path
    for method in METHODS:
        assert method in README, method


def commands(text):
    """The commands of a part of the README, each on one line."""
    lines = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    return lines.replace("\\\n", " ").splitlines()


def serving_commands():
    return commands(README.split("## Serve it")[1].split("\n## ")[0])


def made_up_data():
    """Puts what the section on a user's own data names into this folder."""
    shutil.copytree(helpers.REPOSITORY / "configs", "configs")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 20, 24, 3)).astype(np.uint8)
    np.savez("mine.npz", x_train=images, y_train=np.arange(60) % 2)
    for i, image in enumerate(images):
        pixels = tf.io.encode_png(255 - image if i < 20 else image).numpy()
        if i < 20:
            folder = f"photos/class {i % 4}"
        else:
            folder = f"mine-by-class/{i % 2}" if i < 50 else "mine"
        path = pathlib.Path(folder, f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pixels)


def tensorboard_line(command):
    """Starts TensorBoard by the README's command; returns its first word."""
    tool = pathlib.Path(sys.executable).with_name("tensorboard")
    _, *flags = shlex.split(command)
    with helpers.started([str(tool), *flags, "--port=0"]) as child:
        for line in child.stderr:
            if " at http" in line:
                return line
    return "nothing"


@pytest.mark.slow
def test_the_commands_before_serving_run(tmp_path, monkeypatch, capsys):
    """As written but for the budget, in the order of the README."""
    monkeypatch.chdir(tmp_path)
    made_up_data()
    small = [*helpers.TINY_SETTINGS, "--config.methods=('finetune','datl')"]
    outputs = {}
    for line in commands(README.split("## Serve it")[0]):
        if "tensorboard " in line:
            line = tensorboard_line(line.split("&& ")[-1])
            assert re.match(r"TensorBoard [\d.]+ at http://localhost", line)
        if "tf-transfer " not in line:
            continue
        _, command, *flags = shlex.split(line.split("&& ")[-1])
        named = {flag.split("=")[0] for flag in flags}
        if command in ("compare", "weights"):
            flags += [f for f in small if f.split("=")[0] not in named]
        answer = helpers.call_command(monkeypatch, capsys, command, *flags)
        assert answer[0] == 0, answer
        outputs.setdefault(command, []).append(answer[1])
    counts = {command: len(answers) for command, answers in outputs.items()}
    assert counts == {"compare": 3, "results": 1, "report": 1, "weights": 3}
    assert "Most like it (weight):" in outputs["weights"][1]
    assert "target accuracy %" in outputs["compare"][2]
    assert "## Five labels" in (tmp_path / "runs" / "results.md").read_text()


@pytest.mark.slow
def test_the_commands_on_serving_run_as_written(tmp_path):
    run = tmp_path / "runs" / "glyphs_to_digits"
    config = helpers.tiny_experiment(methods=("datl",))
    tt.compare(config, run, quiet=True)
    images = np.random.default_rng(0).integers(0, 17, (3, 8, 8, 1))
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    for name, encode in (
        ("three.png", tf.io.encode_png),
        ("four.jpg", tf.io.encode_jpeg),
    ):
        content = encode((15 * images[0]).astype(np.uint8)).numpy()
        (tmp_path / name).write_bytes(content)
    tools = pathlib.Path(sys.executable).parent
    outputs = {}
    for command in serving_commands():
        assert command.startswith(("tf-transfer ", "saved_model_cli "))
        finished = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
        )
        assert finished.returncode == 0, finished.stderr
        outputs[command] = finished.stdout
    outputs = list(outputs.values())
    assert len(outputs) == 7
    assert outputs[0].endswith("export/2\n")
    assert (run / "tflite" / "1" / "preprocessing.tflite").exists()
    assert (run / "onnx" / "1" / "model.onnx").exists()
    assert [line.split("\t")[0] for line in outputs[3].splitlines()] == [
        "three.png",
        "four.jpg",
    ]
    assert "shape: (-1, -1, -1, -1)" in outputs[4]
    assert "Result for output key probabilities" in outputs[5]
    features = np.load(tmp_path / "features" / "features.npy")
    assert features.shape == (3, 128)
