"""What the README says is true of the files beside it."""

import re

import conftest
import pytest

import tf_transfer as tt
from tf_transfer import cli, experiment

README = (conftest.REPOSITORY / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_runs_the_test_command_of_the_readme():
    command = "pip install '.[test]' && python -m pytest"
    assert command in README
    script = (conftest.REPOSITORY / ".ci" / "run").read_text()
    assert command in script.splitlines()


def test_names_in_the_python_example_exist():
    for example in blocks("python"):
        compile(example, "README.md", "exec")
    for name in re.findall(r"\btt\.(\w+)", README):
        assert name in tt.__all__, name


@pytest.mark.parametrize("line", re.findall(r"tf-transfer [^\n`]+", README))
def test_commands_parse(line, monkeypatch):
    monkeypatch.chdir(conftest.REPOSITORY)
    words = line.replace("\\", "").split("&&")[0].split()
    command, values = cli._parse(words)
    assert command in ("compare", "weights")
    assert values.config.seeds > 0


def test_files_and_methods_named_in_the_readme_exist():
    for path in re.findall(
        r"`((?:tf_transfer|tests|configs)/[\w/.]+)`", README
    ):
        assert (conftest.REPOSITORY / path).exists(), path
    for method in experiment.METHODS:
        assert method in README, method
