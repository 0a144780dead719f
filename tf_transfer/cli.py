"""The command line: `tf-transfer COMMAND --config=FILE`.

Exit status: 0 done, 2 something given cannot be used, 130 interrupted.
"""

import contextlib
import dataclasses
import os
import pathlib
import sys
import warnings

from absl import flags

from tf_transfer.config import Experiment
from tf_transfer.errors import InputError

_USAGE = """Which source data should a model learn from, and does it help?

tf-transfer compare   run methods and controls, print and write a table
tf-transfer weights   estimate the importance weights only: a cheap first look

Examples:
  tf-transfer compare --config=configs/glyphs_to_digits.py
  tf-transfer weights --config.data.source=npz:mnist.npz
  tf-transfer compare --config.data.labels_per_class=5 --config.seeds=3 \\
      --out=runs/five_labels

Data sets: glyphs, digits, npz:PATH, folder:PATH, tfds:NAME; join sources
with +. Without --config the built-in glyphs -> digits experiment is used.
A run that was interrupted goes on when the same command is given again.
"""
_COMMANDS = ("compare", "weights")


def _parse(argv: list[str]) -> tuple[str, flags.FlagValues]:
    """Returns the command and the parsed flags.

    Raises:
        InputError: for an unknown command, flag or config field.
    """
    from ml_collections import config_flags

    values = flags.FlagValues()
    flags.DEFINE_string("out", None, "folder of the run", flag_values=values)
    flags.DEFINE_bool("quiet", False, "no progress", flag_values=values)
    try:
        with warnings.catch_warnings():
            # ml_collections loads config files by a deprecated method.
            warnings.simplefilter("ignore", DeprecationWarning)
            config_flags.DEFINE_config_file(
                "config",
                str(pathlib.Path(__file__).with_name("config.py")),
                flag_values=values,
                sys_argv=argv,
            )
            _, *commands = values(argv)
        readable = _is_experiment(values.config)
    except (flags.Error, KeyError, ValueError, TypeError) as error:
        sentence = str(error.args[0] if error.args else error)
        raise InputError(
            f"{sentence.splitlines()[0]}. Received: {' '.join(argv[1:])}"
        ) from error
    except (Exception, SystemExit) as error:
        raise InputError(
            f"The config file cannot be read. Received: {' '.join(argv[1:])}"
        ) from error
    if not readable:
        raise InputError(
            "The config must return a tf_transfer.config.Experiment. "
            f"Received: {values['config'].config_filename}"
        )
    if len(commands) != 1 or commands[0] not in _COMMANDS:
        raise InputError(
            f"Give one command: {' or '.join(_COMMANDS)}. "
            f"Received: {' '.join(commands) or 'none'}"
        )
    return commands[0], values


def _is_experiment(found: object) -> bool:
    """Whether a config file gave what `config.Experiment` is made of."""
    if not dataclasses.is_dataclass(found) or isinstance(found, type):
        return False
    wanted = {field.name for field in dataclasses.fields(Experiment)}
    return {field.name for field in dataclasses.fields(found)} == wanted


@contextlib.contextmanager
def _silenced():
    """Discards what native code prints to standard error while loading."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _load_tensorflow() -> None:
    """Loads TensorFlow without its start-up messages."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silenced():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.constant(0)


def _show_warning(message, category, filename, lineno, *rest) -> None:
    """Prints a warning as one line for a person."""
    print(f"Warning: {message}", file=sys.stderr)


def run(argv: list[str]) -> int:
    """Runs one command and returns the exit status."""
    if not argv[1:] or {"-h", "--help", "--helpfull"} & set(argv):
        print(_USAGE)
        return 0
    command, values = _parse(argv)
    name = pathlib.Path(values["config"].config_filename).stem
    name = "glyphs_to_digits" if name == "config" else name
    out = pathlib.Path(values.out or f"runs/{name}")
    if command == "weights" and values.out is None:
        out = out.with_name(f"{name}-weights")
    _load_tensorflow()
    warnings.showwarning = _show_warning
    from tf_transfer import experiment, report

    if command == "weights":
        print(experiment.look(values.config, out, quiet=values.quiet))
    else:
        rows = experiment.compare(values.config, out, quiet=values.quiet)
        print(report.table(rows, values.config.seeds))
    print(f"Written to {out}:")
    for path in sorted(out.iterdir()):
        print(f"  {path}{'/' * path.is_dir()}")
    return 0


def main() -> None:
    """Entry point of the `tf-transfer` command."""
    try:
        status = run(sys.argv)
    except InputError as error:
        print(f"tf-transfer: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print(
            "tf-transfer: interrupted; give the same command to go on",
            file=sys.stderr,
        )
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
