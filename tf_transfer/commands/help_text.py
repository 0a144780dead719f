"""The texts of `--help`. Imports no TensorFlow."""

import dataclasses
import inspect
import textwrap
from collections.abc import Iterable, Iterator

from tf_transfer import config

WIDTH = 79

_DATA = """\
Data sets: glyphs, digits, npz:PATH, npy:PATH, folder:PATH, csv:PATH,
tfrecord:GLOB, hf:PATH, tfds:NAME; + joins sources."""

CONFIG = """\
--config=FILE       a Python file with get_config(); by default the built-in
                    glyphs -> digits
--config.FIELD=VALUE
                    sets one field of the experiment"""

_MORE = "Every field, all data sets, exit statuses: tf-transfer --helpfull"

_STATUS = """\
Exit status:
    0  done
    1  an error in the program, with a traceback
    2  invalid input, explained in one sentence
    3  another worker of a cluster is gone, or a process was killed
  130  interrupted (Ctrl-C)
  141  standard output was closed
  143  terminated (SIGTERM), after saving
Results go to standard output, progress and messages to standard error. After
3, 130, 143 and after a crash, the same `compare` command continues the run."""


def overview(commands: Iterable) -> dict[str, str]:
    """Returns what the help says before and after the list of commands."""
    examples = [each.examples.splitlines()[0] for each in commands]
    more = (
        "`tf-transfer COMMAND --help` explains a command, `tf-transfer "
        "--helpfull` every field of --config, the data sets and the exit "
        "statuses; `--version` prints the version."
    )
    return {
        "description": "Which source data should a model learn from, and does "
        "it help?",
        "epilog": "\n\n".join(
            [
                _examples("\n".join(examples[:2])),
                textwrap.fill(more, WIDTH),
            ]
        ),
    }


def of_command(command) -> dict[str, str]:
    """Returns what a command's help says before and after its flags."""
    summary = f"{command.summary[0].upper()}{command.summary[1:]}."
    return {
        "description": summary,
        "epilog": f"{_examples(command.examples)}\n\n{_MORE}",
    }


def fields() -> str:
    """Returns what every field of `--config` means, and its default.

    Then follow the data sets and the exit statuses.
    """
    parts = ["The fields of --config: --config.FIELD=VALUE"]
    for prefix, group in _groups():
        explanation = inspect.getdoc(type(group))
        parts.append("\n".join([explanation, "", *_defaults(prefix)]))
    return "\n\n".join([*parts, _DATA, _STATUS])


def settings() -> dict[str, object]:
    """Returns the full name and the default of each field of `--config`."""
    return {
        prefix + field.name: getattr(group, field.name)
        for prefix, group in _groups()
        for field in dataclasses.fields(group)
    }


def _examples(lines: str) -> str:
    return f"Examples:\n{textwrap.indent(lines, '  ')}"


def _groups() -> Iterator[tuple[str, object]]:
    """Yields every group of settings with its prefix, the whole first."""
    whole = config.Experiment()
    yield "", whole
    for field in dataclasses.fields(whole):
        group = getattr(whole, field.name)
        if dataclasses.is_dataclass(group):
            yield f"{field.name}.", group


def _defaults(only: str) -> list[str]:
    """Returns `--config.FIELD=DEFAULT` of the group with a prefix."""
    lines = []
    for prefix, group in _groups():
        for field in dataclasses.fields(group):
            default = getattr(group, field.name)
            if prefix == only and not dataclasses.is_dataclass(default):
                text = default if isinstance(default, str) else repr(default)
                line = f"--config.{prefix}{field.name}={text}"
                lines.append(
                    textwrap.fill(
                        line,
                        WIDTH,
                        initial_indent="  ",
                        subsequent_indent="    ",
                    )
                )
    return lines
