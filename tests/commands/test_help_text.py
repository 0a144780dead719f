import dataclasses
import re

import pytest

from tf_transfer import config
from tf_transfer.commands import help_text, main


@pytest.mark.parametrize("name", help_text.COMMANDS)
def test_every_flag_of_a_command_is_explained_and_every_example_parses(
    name, monkeypatch, tmp_path
):
    monkeypatch.setattr(config, "get_config", config.Experiment)
    shown = help_text.of_command(name)
    for flag in help_text.FLAGS[name]:
        assert re.search(rf"^  --{flag}(=\.\.\.)? +\w", shown, re.MULTILINE)
    examples = shown.split("Examples:\n")[1].split("\n\n")[0]
    lines = examples.replace("\\\n", "").splitlines()
    assert lines
    for line in lines:
        line = re.sub(r"--config=\S+", "", line)
        (command, *_), _ = main._parse(line.split())
        assert command == name


def test_help_says_how_the_program_ends_and_fits_a_terminal():
    texts = [
        help_text.overview(),
        *map(help_text.of_command, help_text.COMMANDS),
    ]
    for text in texts:
        for status in (0, 1, 2, 3, 130, 141, 143):
            assert re.search(rf"^ +{status}  \w", text, re.MULTILINE)
    for line in "\n".join([*texts, help_text.fields()]).splitlines():
        assert len(line) < 80, line
    for name in help_text.COMMANDS:
        assert re.search(rf"^  {name} ", texts[0], re.MULTILINE)


def test_every_field_of_the_config_is_explained():
    shown = re.split(r"\n\n(?=\S)", help_text.fields())
    whole = config.Experiment()
    groups = [
        whole,
        *(getattr(whole, f.name) for f in dataclasses.fields(whole)),
    ]
    for group in filter(dataclasses.is_dataclass, groups):
        text = type(group).__doc__
        assert "Attributes:" in text
        for field in dataclasses.fields(group):
            if not dataclasses.is_dataclass(getattr(group, field.name)):
                assert re.search(
                    rf"^ {{8}}.*\b{field.name}\b.*:", text, re.M
                ), field
    lines = "\n".join(shown)
    assert "--config.l2tl.credit=feature" in lines
    assert "--config.finetuning.learning_rates=(0.02, 0.05)" in lines
