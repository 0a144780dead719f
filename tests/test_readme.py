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

README = (helpers.REPOSITORY / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_runs_the_test_command_of_the_readme():
    command = "pip install '.[test]' && python -m pytest"
    assert command in README
    script = (helpers.REPOSITORY / ".ci" / "run").read_text()
    assert command in script.splitlines()


def test_it_is_one_screen():
    assert len(README.splitlines()) <= 150


def test_names_in_the_python_examples_exist():
    for example in blocks("python"):
        compile(example, "README.md", "exec")
        assert len([line for line in example.splitlines() if line]) <= 25
    for name in re.findall(r"\btt\.(\w+)", README):
        assert name in tt.__all__, name


@pytest.mark.parametrize("line", re.findall(r"tf-transfer [^\n`]+", README))
def test_commands_parse(line, monkeypatch):
    monkeypatch.chdir(helpers.REPOSITORY)
    words = shlex.split(line.split("&&")[0])
    assert arguments.parse(words).command.name == words[1]


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)|(?:src|srcset)=\"([^\"]+)", README)
    for link in filter(None, (word for pair in links for word in pair)):
        if not link.startswith("http"):
            assert (helpers.REPOSITORY / link).exists(), link


def commands(text):
    """The commands of a part of a document, each on one line."""
    lines = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    return lines.replace("\\\n", " ").splitlines()


def page(name):
    return (helpers.REPOSITORY / "docs" / f"{name}.md").read_text()


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


@pytest.mark.slow
def test_the_commands_run(tmp_path, monkeypatch, capsys):
    """Of the README and the first pages, as written but for the budget."""
    monkeypatch.chdir(tmp_path)
    made_up_data()
    small = [*helpers.TINY_SETTINGS, "--config.methods=('finetune','datl')"]
    outputs = {}
    pages = README + page("start") + page("data")
    for line in commands(pages):
        words = shlex.split(line)
        if words[:1] != ["tf-transfer"] or words[1] == "cache":
            continue
        _, command, *flags = words
        named = {flag.split("=")[0] for flag in flags}
        if command in ("compare", "weights"):
            flags += [f for f in small if f.split("=")[0] not in named]
        answer = helpers.call_command(monkeypatch, capsys, command, *flags)
        assert answer[0] == 0, answer
        outputs.setdefault(command, []).append(answer[1])
    counts = {command: len(answers) for command, answers in outputs.items()}
    assert counts == {"weights": 3, "compare": 3, "predict": 1}
    assert "Most like it (weight):" in outputs["weights"][1]
    assert "target accuracy %" in outputs["compare"][1]


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
    for command in commands(page("serving")):
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
