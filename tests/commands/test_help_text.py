import dataclasses
import re

import pytest

from tf_transfer import config
from tf_transfer.commands import arguments, help_text
from tf_transfer.commands.subcommands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_a_command_is_explained_and_every_example_parses(
    name, monkeypatch, tmp_path
):
    monkeypatch.setattr(config, "get_config", config.Experiment)
    text = arguments.help_of(name)
    for flag in COMMANDS[name].flag_names:
        # The explanation follows, or starts in the next line.
        pattern = rf"^  --{flag}( [A-Z]+|=FILE|, --no{flag})?\s{{2,}}\w"
        assert re.search(pattern, text, re.MULTILINE)
    examples = text.split("Examples:\n")[1].split("\n\n")[0]
    lines = examples.replace("\\\n", "").splitlines()
    assert lines
    for line in lines:
        line = re.sub(r"--config=\S+", "", line)
        assert arguments.parse(line.split()).command.name == name


def test_a_help_is_one_screen():
    for name in ("", *COMMANDS):
        assert len(arguments.help_of(name).splitlines()) <= 25, name


def test_the_full_help_lists_the_exit_statuses_and_fits_a_terminal():
    texts = [arguments.help_of(name) for name in ("", *COMMANDS)]
    assert all("--helpfull" in text for text in texts)
    for status in (0, 1, 2, 3, 130, 141, 143):
        pattern = rf"^ +{status}  \w"
        assert re.search(pattern, help_text.fields(), re.MULTILINE)
    assert "npz:PATH" in help_text.fields()
    for line in "\n".join([*texts, help_text.fields()]).splitlines():
        assert len(line) < 80, line
    for name in COMMANDS:
        assert re.search(rf"^    {name} +\w", texts[0], re.MULTILINE)


def test_every_field_of_the_config_is_explained():
    text = help_text.fields()
    whole = config.Experiment()
    groups = [
        whole,
        *(getattr(whole, f.name) for f in dataclasses.fields(whole)),
    ]
    for group in filter(dataclasses.is_dataclass, groups):
        explanation = type(group).__doc__
        assert "Attributes:" in explanation
        for field in dataclasses.fields(group):
            if not dataclasses.is_dataclass(getattr(group, field.name)):
                assert re.search(
                    rf"^ {{8}}.*\b{field.name}\b.*:", explanation, re.M
                ), field
    assert "--config.l2tl.credit=feature" in text
    assert "--config.finetuning.learning_rates=()" in text
