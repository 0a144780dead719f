"""The command line: `tf-transfer COMMAND --FLAG=VALUE`.

The exit statuses are listed in `usage`, which `--help` prints.
"""

import contextlib
import dataclasses
import difflib
import errno
import os
import pathlib
import re
import signal
import sys
import textwrap
import warnings

from absl import flags

import tf_transfer
from tf_transfer.commands import help_text
from tf_transfer.config import Experiment
from tf_transfer.errors import InputError, Stopped, WorkerLostError
from tf_transfer.utils.processes import silenced

_SAID = 200
_STORAGE = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG, errno.EACCES)


def _parse(argv: list[str]) -> tuple[list[str], flags.FlagValues]:
    """Returns the command, with what follows it, and the parsed flags.

    Raises:
        InputError: for an unknown command, flag or config field.
    """
    from ml_collections import config_flags

    values = flags.FlagValues()
    for name, meaning in help_text.MEANING.items():
        if name in ("quiet", "int8"):
            flags.DEFINE_bool(name, False, meaning, flag_values=values)
        elif name == "jobs":
            flags.DEFINE_integer(name, 1, meaning, flag_values=values)
        elif name != "config":
            flags.DEFINE_string(name, None, meaning, flag_values=values)
    try:
        with warnings.catch_warnings():
            # ml_collections loads config files by a deprecated method.
            warnings.simplefilter("ignore", DeprecationWarning)
            config_flags.DEFINE_config_file(
                "config",
                str(pathlib.Path(__file__).parents[1] / "config.py"),
                flag_values=values,
                sys_argv=argv,
            )
            _, *commands = values(argv)
        readable = _is_experiment(values.config)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{_problem(error, argv)}. Received: {' '.join(argv[1:])}"
        ) from error
    if not readable:
        name = values["config"].config_filename
        problem = "The config must return a tf_transfer.config.Experiment"
        if not pathlib.Path(name.partition(":")[0]).is_file():
            problem = "There is no such config file"
        raise InputError(f"{problem}. Received: {name}")
    _check_usage(commands, values)
    return commands, values


def _problem(error: BaseException, argv: list[str]) -> str:
    """Returns in a sentence why flags or a config file cannot be used."""
    # ml_collections puts the traceback of a config file into its message.
    lines = str(error.args[0] if error.args else error).strip().splitlines()
    sentence = (lines or [repr(error)])[-1].removesuffix(".")
    field = re.search(r"Field (\w+) not found on dataclass", sentence)
    flag = re.match(r"Unknown command line flag '(\w+)'$", sentence)
    if field or flag:
        if field:
            sentence = f"There is no setting of the name {field[1]}"
        name = (field or flag)[1]
        found = re.search(rf"[\w.]*\b{name}\b", " ".join(argv))
        full = (found[0] if found else name).removeprefix("config.")
        close = difflib.get_close_matches(full, help_text.settings(), n=1)
        hint = f" (did you mean --config.{close[0]}?)" if close else ""
        return sentence + hint
    if isinstance(error, flags.Error | ValueError | TypeError):
        return sentence
    return (
        f"The config file cannot be used ({type(error).__name__}: {sentence})"
    )


def _check_usage(commands: list[str], values: flags.FlagValues) -> None:
    """Raises InputError if command, flags and files do not go together."""
    command, *files = commands or ["none"]
    if command not in help_text.COMMANDS:
        raise InputError(
            f"Give one command: {', '.join(help_text.COMMANDS)}. "
            f"Received: {' '.join(commands) or 'none'}"
        )
    takes = help_text.FLAGS[command]
    if files and command not in help_text.FILES:
        raise InputError(
            f"`{command}` takes only flags: --{', --'.join(takes)}, with =. "
            f"Received: {' '.join(commands)}"
        )
    for name in values:
        if values[name].present and name.split(".")[0] not in takes:
            raise InputError(
                f"`{command}` takes the flags --{', --'.join(takes)}. "
                f"Received: --{name}"
            )
    needed = {"export": "run", "report": "run", "predict": "model"}
    needed = needed.get(command)
    if needed and not values[needed].value:
        raise InputError(
            f"`{command}` needs --{needed}=FOLDER. Received: no --{needed}"
        )
    if command in help_text.FILES and not files:
        raise InputError(
            f"`{command}` needs {help_text.FILES[command]} after its flags. "
            "Received: none"
        )


def _is_experiment(found: object) -> bool:
    """Whether a config file gave what `config.Experiment` is made of."""
    if not dataclasses.is_dataclass(found) or isinstance(found, type):
        return False
    wanted = {field.name for field in dataclasses.fields(Experiment)}
    return {field.name for field in dataclasses.fields(found)} == wanted


def _load_tensorflow(strategy: str, quiet: bool) -> None:
    """Loads TensorFlow without its start-up messages.

    A cluster of workers is joined before anything is computed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if strategy == "multi_worker" and not quiet:
        print("waiting for the other workers", file=sys.stderr, flush=True)
    with silenced():
        import tensorflow as tf

        from tf_transfer.training import distribution

        distribution.strategy(strategy)
        tf.constant(0)


def _show_warning(message, category, filename, lineno, *rest) -> None:
    """Prints a warning as one line for a person."""
    print(f"Warning: {message}", file=sys.stderr)


def _help(arguments: list[str]) -> str:
    """Returns what was asked of the program itself, or nothing."""
    if "--version" in arguments:
        return f"tf_transfer {tf_transfer.__version__}"
    if "--helpfull" in arguments:
        return help_text.fields()
    if arguments and not {"-h", "--help"} & set(arguments):
        return ""
    named = [word for word in arguments if word in help_text.COMMANDS]
    return help_text.of_command(named[0]) if named else help_text.overview()


def run(argv: list[str]) -> int:
    """Runs one command and returns the exit status."""
    asked = _help(argv[1:])
    if asked:
        print(asked)
        return 0
    (command, *files), values = _parse(argv)
    _load_tensorflow(values.config.strategy, values.quiet)
    warnings.showwarning = _show_warning
    if command == "predict":
        _predict(values.model, files)
    elif command == "results":
        _results(files, pathlib.Path(values.out or "RESULTS.md"))
    elif command == "report":
        with _explained("none", pathlib.Path(values.run)):
            _report(values.run)
    elif command == "export":
        with _explained("none", pathlib.Path(values.out or values.run)):
            _export(values)
    else:
        _experiment(command, values)
    return 0


def _experiment(command: str, values: flags.FlagValues) -> None:
    name = pathlib.Path(values["config"].config_filename).stem
    name = "glyphs_to_digits" if name == "config" else name
    out = pathlib.Path(values.out or f"runs/{name}")
    if command == "weights" and values.out is None:
        out = out.with_name(f"{name}-weights")
    with _explained(values.config.strategy, out):
        print(_result(command, values, out))
    if out.is_dir():
        print(f"Written to {out}:")
        for path in sorted(out.iterdir()):
            print(f"  {path}{'/' * path.is_dir()}")


def _result(command: str, values: flags.FlagValues, out: pathlib.Path) -> str:
    from tf_transfer.commands import compare, weights
    from tf_transfer.experiment import results
    from tf_transfer.report.text import advice, table

    if command == "weights":
        return weights.estimate_weights(values.config, out, quiet=values.quiet)
    rows = compare.compare(
        values.config, out, quiet=values.quiet, jobs=values.jobs
    )
    sentences = advice(results.read(out), values.config.methods)
    return "\n".join([table(rows, values.config.seeds), *sentences])


def _export(values: flags.FlagValues) -> None:
    from tf_transfer.commands import export

    with silenced():  # converters print to standard error
        result, folder = export.export(
            values.run,
            values.method,
            values.format or "saved_model",
            values.int8,
            values.out,
        )
    print(
        f"{result.method}, seed {result.seed}, validation accuracy "
        f"{result.validation.accuracy:.3f}: written to {folder}"
    )


def _report(run: str) -> None:
    from tf_transfer.report import html

    print(f"Written: {html.rewrite(run)}")


def _results(runs: list[str], out: pathlib.Path) -> None:
    from tf_transfer.report import markdown

    for path in markdown.write([pathlib.Path(run) for run in runs], out):
        print(f"Written: {path}")


def _predict(model: str, files: list[str]) -> None:
    from tf_transfer.commands.predict import predict

    for file, (name, share) in zip(files, predict(model, files), strict=True):
        print(f"{file}\t{name}\t{share:.4f}")


def _stop(number, frame) -> None:
    raise Stopped


@contextlib.contextmanager
def _explained(strategy: str, out: pathlib.Path):
    """Says what failures of the machines mean."""
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        text = str(error)
        reasons = [os.strerror(n) for n in _STORAGE if os.strerror(n) in text]
        if reasons:
            raise InputError(
                f"A file cannot be written ({reasons[0]}); the same command "
                f"goes on when it can. Received: {out}"
            ) from error
        if strategy == "multi_worker" and isinstance(error, tf.errors.OpError):
            # A long message, of which the cause names the task.
            cause = error.message.partition("aborted by: ")[2] or error.message
            said = textwrap.shorten(cause, _SAID)
            raise WorkerLostError(
                "Another worker is gone; start all of them again, and they go "
                "on from the last checkpoint. "
                f"Received: {type(error).__name__}: {said}"
            ) from error
        raise


def _say(sentence: str) -> None:
    """Prints a closing sentence, below the progress line of a terminal."""
    start = "\n" if sys.stderr.isatty() else ""
    print(f"{start}tf-transfer: {sentence}", file=sys.stderr)


def main() -> None:
    """Entry point of the `tf-transfer` command."""
    before = signal.signal(signal.SIGTERM, _stop)
    # Names of classes and files may be beyond what the terminal can show.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = run(sys.argv)
        sys.stdout.flush()
    except InputError as error:
        _say(str(error))
        status = 2
    except WorkerLostError as error:
        _say(str(error))
        status = 3
    except Stopped:
        _say("stopped; give the same command to go on")
        status = 143
    except KeyboardInterrupt:
        _say("interrupted; give the same command to go on")
        status = 130
    except BrokenPipeError:
        # What is left in the buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    signal.signal(signal.SIGTERM, before)
    sys.exit(status)


if __name__ == "__main__":
    main()
