"""The subcommands: what each is for, its flags, and what it runs.

Imports no TensorFlow before a command runs.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterable

from absl import flags

from tf_transfer.commands import failures
from tf_transfer.errors import InputError
from tf_transfer.utils import terminal
from tf_transfer.utils.escaping import printable
from tf_transfer.utils.messages import shell_word
from tf_transfer.utils.processes import silenced

_QUIET = "print only warnings"
_TARGETS = "several targets of one source: 'folder:one folder:two'"
_RUN = "the folder of a finished run of `compare`"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A subcommand of `tf-transfer`.

    Attributes:
        name: as it is written on the command line.
        summary: one line on what the command does.
        flags: the meaning of each flag except `--config`.
        run: carries the command out, given the flag values and the files.
        examples: command lines.
        takes_config: whether the command has `--config`.
        files: what must follow the flags, if anything.
        needs: the flag that must be given, if any.
    """

    name: str
    summary: str
    flags: dict[str, str]
    run: Callable[[flags.FlagValues, list[str]], None]
    examples: str
    takes_config: bool = False
    files: str = ""
    needs: str = ""

    @property
    def flag_names(self) -> list[str]:
        """The names of all its flags."""
        return ["config"] * self.takes_config + list(self.flags)


COMMANDS: dict[str, Command] = {}


def _command(summary: str, **facts) -> Callable:
    """Adds the decorated function to `COMMANDS`."""

    def add(run: Callable) -> Callable:
        name = run.__name__
        COMMANDS[name] = Command(name=name, summary=summary, run=run, **facts)
        return run

    return add


@_command(
    "estimate the importance weights; needs no labels of the target",
    takes_config=True,
    flags={
        "out": "the folder of the results, by default runs/NAME-weights",
        "quiet": _QUIET,
        "targets": _TARGETS,
    },
    examples="""\
tf-transfer weights --config=configs/glyphs_to_digits.py
tf-transfer weights --config.data.source=folder:photos \\
    --config.data.unlabelled=folder:mine""",
)
def weights(values: flags.FlagValues, files: list[str]) -> None:
    """Prints the most and least important classes, and a verdict."""
    from tf_transfer.commands import weights
    from tf_transfer.commands.preparation import targets

    default, earlier = f"runs/{_config_name(values)}-weights", None
    for config, out in targets.each(values, default, labels=False):
        with failures.explained(config.strategy, out):
            estimate = weights.estimate_weights(
                config, out, quiet=values.quiet, generalists=earlier
            )
        _print_sentences(estimate.verdict.splitlines())
        print()
        _print_contents(out)
        earlier = earlier or out


@_command(
    "compare methods over seeds; write a report and a model",
    takes_config=True,
    flags={
        "out": "the folder of the run, by default runs/NAME for NAME.py; the "
        "same command continues an interrupted run",
        "quiet": _QUIET,
        "targets": _TARGETS,
        "jobs": "seeds trained at the same time, by default 1",
        "search": "all, or halving: each seed drops the worse half",
    },
    examples="""\
tf-transfer compare --config=configs/glyphs_to_digits.py --jobs=2
tf-transfer compare --config.data.source=folder:photos \\
    --config.data.target=folder:mine --search=halving""",
)
def compare(values: flags.FlagValues, files: list[str]) -> None:
    """Prints the table of the methods and what it suggests."""
    from tf_transfer.commands.preparation import targets

    earlier = None
    for config, out in targets.each(values, f"runs/{_config_name(values)}"):
        _compare(config, out, values, earlier)
        earlier = earlier or out


def _compare(config, out: pathlib.Path, values, earlier) -> None:
    """Compares the methods for one target; see `compare`."""
    from tf_transfer.commands import compare
    from tf_transfer.experiment.methods import base
    from tf_transfer.experiment.records.run_data import Run
    from tf_transfer.report.text import advice, data_used, expected, table

    with failures.explained(config.strategy, out):
        rows = compare.compare(
            config,
            out,
            quiet=values.quiet,
            jobs=values.jobs,
            generalists=earlier,
            search=values.search or "all",
        )
        run = Run.read(out)
        counts = run.data.counts if run.data else {}
        seen = {
            row.method: base.source_images(run.config, row.method)
            for row in rows
        }
        width = terminal.columns(sys.stdout)
        *lines, legend = table(rows, config.seeds, seen, width).splitlines()
        print(*lines, terminal.filled(legend, sys.stdout), sep="\n", end="\n\n")
        _print_sentences(
            [
                *advice(run.results, config.methods),
                *data_used(counts, config.data),
                *expected(rows, counts.get("test"), _taught(run)),
            ]
        )
        print()
    _print_contents(out)
    page, model = out / "report.html", out / "export" / "1"
    print(
        f"\nNext: open {printable(str(page))}, and try the model:\n"
        f"  tf-transfer predict --model={shell_word(str(model))} FILES"
    )


@_command(
    "write report.html of a finished run again",
    flags={"run": _RUN},
    needs="run",
    examples="""\
tf-transfer report --run=runs/five_labels""",
)
def report(values: flags.FlagValues, files: list[str]) -> None:
    """Writes the report and prints its path."""
    from tf_transfer.report import html

    with failures.explained("none", pathlib.Path(values.run)):
        _print_written(html.rewrite(values.run))


@_command(
    "write one document from the figures of several runs",
    flags={
        "out": "the document, by default RESULTS.md; the plot gains.png is "
        "written next to the first run",
    },
    files="folders of runs",
    examples="""\
tf-transfer results runs/five_labels runs/ten_labels
tf-transfer results --out=RESULTS.md runs/five_labels runs/ten_labels""",
)
def results(values: flags.FlagValues, files: list[str]) -> None:
    """Writes the document and its plot, and prints their paths."""
    from tf_transfer.report import markdown

    out = pathlib.Path(values.out or "RESULTS.md")
    for path in markdown.write([pathlib.Path(run) for run in files], out):
        _print_written(path)


@_command(
    "export the chosen model of a finished run for a server",
    flags={
        "run": _RUN,
        "method": "the method whose model is exported, by default the one "
        "that `compare` marks as chosen",
        "format": "saved_model (the default), tflite or onnx",
        "int8": "with tflite: 8-bit integers, calibrated on the target's data",
        "ensemble": "the mean of all seeds' models, slower to serve",
        "refit_on_all": "train again with all labels, the test part too",
        "out": "the folder of the versions, by default export, tflite or onnx "
        "in the run; an existing version is never overwritten",
    },
    needs="run",
    examples="""\
tf-transfer export --run=runs/five_labels --method=datl --out=served
tf-transfer export --run=runs/five_labels --format=tflite --int8""",
)
def export(values: flags.FlagValues, files: list[str]) -> None:
    """Exports a model and prints where it is."""
    from tf_transfer.commands import export
    from tf_transfer.experiment.records.run_data import FinishedRun

    with failures.explained("none", pathlib.Path(values.out or values.run)):
        with silenced():  # converters print to standard error
            result, folder = export.export(
                values.run,
                values.method,
                values.format or "saved_model",
                values.int8,
                values.out,
                values.ensemble,
                values.refit_on_all,
            )
        members = "all seeds" if values.ensemble else f"seed {result.seed}"
        if values.refit_on_all:
            members += ", trained again with all labelled images"
        elif not values.ensemble and export.taught_model(
            FinishedRun.read(values.run), result
        ):
            members = "taught by all seeds"
        print(
            f"{result.method}, {members}: written to {printable(str(folder))}"
        )


@_command(
    "print the class and probability of images, by an exported model",
    flags={
        "model": "a version that `export` or `compare` wrote, such as "
        "runs/NAME/export/1",
        "trust": "run the model whatever its operations are: a SavedModel is "
        "a program",
        "format": "text (the default) or csv",
    },
    needs="model",
    files="image files or folders",
    examples="""\
tf-transfer predict --model=runs/five_labels/export/1 one.png two.jpg
tf-transfer predict --model=runs/five_labels/export/1 --format=csv photos""",
)
def predict(values: flags.FlagValues, files: list[str]) -> None:
    """Prints a line for each image."""
    from tf_transfer.commands import predict

    kind = values.format or "text"
    if kind not in predict.FORMATS:
        raise InputError(
            f"The format must be {' or '.join(predict.FORMATS)}. "
            f"Received: {kind!r}"
        )
    predictions = predict.predict(values.model, files, values.trust)
    predict.print_table(predictions, kind)


@_command(
    "list the stored images of large data sets, or remove them",
    flags={
        "clear": "remove them all, but for those that are being made",
        "folder": "the cache, by default that of $TF_TRANSFER_CACHE, or "
        "~/.cache/tf_transfer",
    },
    examples="""\
tf-transfer cache
tf-transfer cache --clear""",
)
def cache(values: flags.FlagValues, files: list[str]) -> None:
    """Prints where they are, and how much room each takes on the disk."""
    from tf_transfer.data.store import cache

    place = values.folder or ""
    with failures.explained("none", cache.root(place)):
        stores = cache.contents(place)
        removed, busy = cache.clear(place) if values.clear else ([], [])
        print(f"In {printable(str(cache.folder(place)))}:")
        for name, size in stores.items():
            done = "  removed" * (name in removed) + "  in use" * (name in busy)
            print(f"  {printable(name)}  {size / 2**30:.2f} GiB{done}")
        if not stores:
            print("  nothing")


def _taught(run) -> tuple[int, float] | None:
    """Returns the seeds and the accuracy of the model that they taught."""
    from tf_transfer.commands.teaching import Taught

    taught = Taught.read(run.files)
    return taught and (len(taught.seeds), taught.test.accuracy)


def _config_name(values: flags.FlagValues) -> str:
    """Returns the name of the config file."""
    name = pathlib.Path(values["config"].config_filename).stem
    return "glyphs_to_digits" if name == "config" else name


def _print_sentences(sentences: Iterable[str]) -> None:
    """Prints each on lines of its own, as wide as the terminal is."""
    for sentence in sentences:
        print(terminal.filled(sentence, sys.stdout, indent="  "))


def _print_written(path: pathlib.Path) -> None:
    print(f"Written: {printable(str(path))}")


def _print_contents(out: pathlib.Path) -> None:
    """Lists the files of a folder of results, if there is one."""
    if out.is_dir():
        print(f"Written to {printable(str(out))}:")
        for path in sorted(out.iterdir()):
            print(f"  {printable(str(path))}{'/' * path.is_dir()}")
