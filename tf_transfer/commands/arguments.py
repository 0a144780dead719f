"""The subcommands with their flags, and how a command line is parsed.

Each command is a subparser of `absl.flags.argparse_flags`. `--config` and its
overrides belong to `ml_collections.config_flags`, which defines the flag of an
override when it has loaded the config file.
"""

import dataclasses
import difflib
import os
import pathlib
import re
import sys
import warnings
from argparse import RawDescriptionHelpFormatter

from absl import flags
from absl.flags import argparse_flags

from tf_transfer.commands import help_text
from tf_transfer.commands.subcommands import COMMANDS, Command
from tf_transfer.config import Experiment
from tf_transfer.errors import InputError

_SWITCHES = ("quiet", "int8", "ensemble", "refit_on_all", "trust", "clear")
_NUMBERS = {"jobs": 1}


class _Parser(argparse_flags.ArgumentParser):
    """Raises an error of absl where argparse would exit."""

    def __init__(self, **settings):
        super().__init__(
            formatter_class=lambda prog: RawDescriptionHelpFormatter(
                prog, max_help_position=22, width=help_text.WIDTH
            ),
            add_help=False,
            allow_abbrev=False,
            **settings,
        )
        # Listed here only: `main.run` answers it before anything is parsed.
        self.add_argument(
            "-h", "--help", action="help", help="show this help and exit"
        )

    def error(self, message: str):
        flag = re.match(r"argument (\S+): expected one argument$", message)
        if flag:
            message = f"Missing value for flag {flag[1]}"
        raise flags.Error(message)


@dataclasses.dataclass(frozen=True, slots=True)
class Arguments:
    """A parsed command line.

    Attributes:
        command: what to run.
        flags: the values of its flags; `flags.config` is the experiment.
        files: what follows the flags.
    """

    command: Command
    flags: flags.FlagValues
    files: list[str]


def parse(argv: list[str]) -> Arguments:
    """Parses a command line, whose first word is the program.

    Raises:
        InputError: for an unknown command, flag or setting, a value of a wrong
            type, or a config file that cannot be used.
    """
    argv = [argv[0], *map(_underscored, argv[1:])]
    words, switches = _command_first(argv[1:])
    name = next((w for w in words[:1] if not w.startswith("-")), "none")
    if name not in COMMANDS:
        raise InputError(
            f"Give one command: {', '.join(COMMANDS)}. Received: {name}"
        )
    command, values = COMMANDS[name], _define_flags(COMMANDS[name])
    try:
        root, _ = _parsers({name: values})
        _, rest = root.parse_known_args(words)
        with warnings.catch_warnings():
            # ml_collections loads config files by a deprecated method.
            warnings.simplefilter("ignore", DeprecationWarning)
            if command.takes_config:
                _define_config(values, argv)
            # argparse does not know `--config`, or `-flag` with a single dash.
            _, *files = values([argv[0], *switches, *rest])
    except (Exception, SystemExit) as error:
        raise _refusal(command, error, argv) from error
    if command.takes_config:
        _check_experiment(values)
    _check_usage(command, values, files)
    return Arguments(command, values, files)


def _underscored(word: str) -> str:
    """Returns `--some_flag=value` for `--some-flag=value`.

    >>> _underscored("--refit-on-all=a-b"), _underscored("a-b")
    ('--refit_on_all=a-b', 'a-b')
    """
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def help_of(name: str) -> str:
    """Returns the help of a command, or of the program for an empty name."""
    root, commands = _parsers({})
    return (commands[name] if name else root).format_help().rstrip()


def complete() -> None:
    """Answers a shell that asks for completions, and exits; else returns."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:  # of another environment than the shell's
        return
    root, commands = _parsers({})
    fields = ["", *(f".{name}" for name in help_text.settings())]
    for name, child in commands.items():
        for field in fields if COMMANDS[name].takes_config else ():
            child.add_argument(f"--config{field}")
    argcomplete.autocomplete(root)


def _parsers(
    values: dict[str, flags.FlagValues],
) -> tuple[_Parser, dict[str, _Parser]]:
    """Returns the parser of the program, and those of its commands.

    Args:
        values: by command, the flag values that parsing sets.
    """
    root = _Parser(
        prog="tf-transfer",
        usage="tf-transfer COMMAND [--FLAG=VALUE ...] [FILE ...]",
        inherited_absl_flags=None,
        **help_text.overview(COMMANDS.values()),
    )
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        files = f" {command.files.upper().replace(' ', '_')}".rstrip()
        child = subparsers.add_parser(
            name,
            help=command.summary,
            usage=f"tf-transfer {name} [--FLAG=VALUE ...]{files}",
            inherited_absl_flags=values.get(name, _define_flags(command)),
            **help_text.of_command(command),
        )
        if command.takes_config:
            child.add_argument_group("config", help_text.CONFIG)
    return root, subparsers.choices


def _define_flags(command: Command) -> flags.FlagValues:
    """Returns the flags of a command but `--config`, not yet parsed."""
    values = flags.FlagValues()
    # argparse_flags explains the flags of the main module only.
    options = {"flag_values": values, "module_name": sys.argv[0]}
    for name, meaning in command.flags.items():
        if name in _SWITCHES:
            flags.DEFINE_bool(name, False, meaning, **options)
        elif name in _NUMBERS:
            flags.DEFINE_integer(name, _NUMBERS[name], meaning, **options)
        else:
            flags.DEFINE_string(name, None, meaning, **options)
    return values


def _define_config(values: flags.FlagValues, argv: list[str]) -> None:
    """Defines `--config`, and the overrides that follow the default."""
    from ml_collections import config_flags

    config_flags.DEFINE_config_file(
        "config",
        str(pathlib.Path(__file__).parents[1] / "config.py"),
        flag_values=values,
        sys_argv=argv,
    )


def _command_first(words: list[str]) -> tuple[list[str], list[str]]:
    """Sorts a command line for argparse.

    absl allows flags before the command, and switches with a value.

    Returns:
        The command with all that argparse can parse, and the switches with a
        value, such as `--quiet=false`, which it cannot.
    """
    settings = help_text.settings().items()
    bare = {f"config.{name}" for name, value in settings if type(value) is bool}
    bare |= {*_SWITCHES}
    command, rest, with_value = [], [], []
    is_value = False
    for word in words:
        flag, equals, _ = word.lstrip("-").partition("=")
        name = flag.removeprefix("no")
        if is_value or not word.startswith("-"):
            (rest if is_value or command else command).append(word)
            is_value = False
        else:
            (with_value if name in _SWITCHES and equals else rest).append(word)
            is_value = not (equals or name in bare)
    return command + rest, with_value


def _refusal(
    command: Command, error: BaseException, argv: list[str]
) -> InputError:
    """Explains in a sentence why flags or a config file cannot be used."""
    if isinstance(error, flags.UnrecognizedFlagError):
        names = {name for each in COMMANDS.values() for name in each.flag_names}
        if error.flagname.partition(".")[0] in names:
            return InputError(
                f"`{command.name}` takes the flags "
                f"--{', --'.join(command.flag_names)}. "
                f"Received: --{error.flagname}"
            )
    # ml_collections puts the traceback of a config file into its message.
    lines = str(error).strip().splitlines()
    sentence = (lines or [repr(error)])[-1].removesuffix(".")
    field = re.search(r"Field (\w+) not found on dataclass", sentence)
    if field:
        words = re.findall(rf"config\.([\w.]*\b{field[1]})\b", " ".join(argv))
        sentence = f"There is no setting of the name {field[1]}"
        sentence += _suggestion(words[0] if words else field[1])
    elif isinstance(error, flags.UnrecognizedFlagError):
        sentence += _suggestion(error.flagname)
    elif not isinstance(error, flags.Error | ValueError | TypeError):
        reason = f"{type(error).__name__}: {sentence}"
        sentence = f"The config file cannot be used ({reason})"
    return InputError(f"{sentence}. Received: {' '.join(argv[1:])}")


def _suggestion(name: str) -> str:
    """Returns the setting that may have been meant, or nothing."""
    close = difflib.get_close_matches(name, help_text.settings(), n=1)
    return f" (did you mean --config.{close[0]}?)" if close else ""


def _check_usage(
    command: Command, values: flags.FlagValues, files: list[str]
) -> None:
    """Raises InputError if command, flags and files do not fit together."""
    if files and not command.files:
        raise InputError(
            f"`{command.name}` takes only flags: "
            f"--{', --'.join(command.flag_names)}, with =. "
            f"Received: {' '.join([command.name, *files])}"
        )
    if command.needs and not values[command.needs].value:
        raise InputError(
            f"`{command.name}` needs --{command.needs}=FOLDER. "
            f"Received: no --{command.needs}"
        )
    if command.files and not files:
        raise InputError(
            f"`{command.name}` needs {command.files} after its flags. "
            "Received: none"
        )


def _check_experiment(values: flags.FlagValues) -> None:
    """Raises InputError unless the config file returned an `Experiment`."""
    experiment = values.config
    # By its fields: a config file may hold another copy of the class.
    if (
        dataclasses.is_dataclass(experiment)
        and not isinstance(experiment, type)
        and {field.name for field in dataclasses.fields(experiment)}
        == {field.name for field in dataclasses.fields(Experiment)}
    ):
        return
    name = values["config"].config_filename
    problem = "The config must return a tf_transfer.config.Experiment"
    if not pathlib.Path(name.partition(":")[0]).is_file():
        problem = "There is no such config file"
    raise InputError(f"{problem}. Received: {name}")
