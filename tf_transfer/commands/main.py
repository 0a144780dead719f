"""The command line: `tf-transfer COMMAND --FLAG=VALUE`.

`--help` lists the exit statuses.
"""

import os
import signal
import sys
import warnings

import tf_transfer
from tf_transfer.commands import arguments, help_text
from tf_transfer.commands.subcommands import COMMANDS
from tf_transfer.errors import InputError, Stopped, WorkerLostError
from tf_transfer.utils.escaping import printable
from tf_transfer.utils.processes import silenced
from tf_transfer.utils.progress import end_line, warn
from tf_transfer.utils.terminal import filled


def main() -> None:
    """Entry point of the `tf-transfer` command."""
    arguments.complete()
    before = signal.signal(signal.SIGTERM, _stop)
    # Names of classes and files may not fit the terminal's encoding.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = run(sys.argv)
        sys.stdout.flush()
    except InputError as error:
        _print_error(str(error))
        status = 2
    except WorkerLostError as error:
        _print_error(str(error))
        status = 3
    except Stopped:
        _print_error("stopped; the same command continues the run")
        status = 143
    except KeyboardInterrupt:
        _print_error("interrupted; the same command continues the run")
        status = 130
    except BrokenPipeError:
        # Flushing the rest of the buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    signal.signal(signal.SIGTERM, before)
    sys.exit(status)


def run(argv: list[str]) -> int:
    """Runs one command and returns the exit status."""
    text = _information(argv[1:])
    if text:
        print(text)
        return 0
    line = arguments.parse(argv)
    if line.command.takes_config:
        config = line.flags.config
        _load_tensorflow(config.strategy, line.flags.quiet)
    else:
        _load_tensorflow("none", quiet=True)
    warnings.showwarning = _show_warning
    line.command.run(line.flags, line.files)
    return 0


def _information(words: list[str]) -> str:
    """Returns the version or the help, if a command line asks for them."""
    if "--version" in words:
        return f"tf_transfer {tf_transfer.__version__}"
    if "--helpfull" in words:
        return help_text.fields()
    if words and not {"-h", "--help"} & set(words):
        return ""
    names = [word for word in words if word in COMMANDS]
    return arguments.help_of(names[0] if names else "")


def _load_tensorflow(strategy: str, quiet: bool) -> None:
    """Loads TensorFlow without its start-up messages.

    A worker must join its cluster before it computes anything.
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
    """Prints a warning as one line."""
    warn(str(message))


def _stop(number, frame) -> None:
    raise Stopped


def _print_error(sentence: str) -> None:
    """Prints a closing sentence, below the progress line of a terminal."""
    end_line()
    sentence = f"tf-transfer: {printable(sentence)}"
    print(filled(sentence, sys.stderr), file=sys.stderr)


if __name__ == "__main__":
    main()
