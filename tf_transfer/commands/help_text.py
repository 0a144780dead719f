"""What `--help` says. Imports no TensorFlow."""

import dataclasses
import inspect
import textwrap

from tf_transfer import config

_WIDTH = 79

COMMANDS = {
    "compare": "run methods and controls, print and write a table",
    "report": "write report.html of a finished run anew",
    "weights": "estimate the importance weights only: a cheap first look",
    "results": "write one document from the figures of several runs",
    "export": "write the chosen model of a finished run for a server",
    "predict": "print class and probability of images, by such a model",
}

FLAGS = {
    "compare": ("config", "out", "quiet", "jobs"),
    "report": ("run",),
    "weights": ("config", "out", "quiet"),
    "results": ("out",),
    "export": ("run", "method", "format", "int8", "out"),
    "predict": ("model",),
}

FILES = {"results": "folders of runs", "predict": "image files"}
"""What follows the flags of some commands."""

MEANING = {
    "config": "a Python file whose get_config() returns an Experiment, by "
    "default the built-in glyphs -> digits; --config.FIELD=VALUE overrides a "
    "field of it, and is given as often as you like",
    "out": "the folder that the run is written to, by default runs/NAME of "
    "the config file; given again, the run goes on where it stopped",
    "quiet": "print no progress on standard error; warnings stay",
    "jobs": "how many seeds are trained side by side, each in a process of "
    "its own; by default 1",
    "run": "the folder of a finished run of `compare`",
    "method": "the method whose model is exported, by default the one that "
    "`compare` marks as chosen",
    "format": "saved_model (the default), tflite or onnx",
    "int8": "with --format=tflite: 8 bit integers, calibrated by the target's "
    "data",
    "model": "a version that `export` or `compare` wrote, such as "
    "runs/NAME/export/1",
}

_MEANING_OF = {
    ("weights", "out"): "the folder that is written to, by default "
    "runs/NAME-weights of the config file",
    ("results", "out"): "the document, by default RESULTS.md; the plot "
    "gains.png is written beside the first run",
    ("export", "out"): "the folder of the versions, by default export, tflite "
    "or onnx in the run; a version is never written over",
}

_EXAMPLES = {
    "compare": """\
tf-transfer compare --config=configs/glyphs_to_digits.py
tf-transfer compare --config.data.labels_per_class=5 --config.seeds=3 \\
    --out=runs/five_labels
tf-transfer compare --jobs=2 --quiet
tf-transfer compare --config.data.source=folder:photos \\
    --config.data.target=npz:mine.npz --config.data.image_size=32 \\
    --config.data.channels=3""",
    "report": """\
tf-transfer report --run=runs/five_labels""",
    "weights": """\
tf-transfer weights
tf-transfer weights --config.data.source=npz:mnist.npz
tf-transfer weights --config=configs/glyphs_to_digits.py \\
    --config.datl.estimator=em --out=runs/look""",
    "results": """\
tf-transfer results runs/five_labels runs/ten_labels
tf-transfer results --out=RESULTS.md runs/five_labels runs/ten_labels""",
    "export": """\
tf-transfer export --run=runs/five_labels
tf-transfer export --run=runs/five_labels --method=datl --out=served
tf-transfer export --run=runs/five_labels --format=tflite --int8
tf-transfer export --run=runs/five_labels --format=onnx""",
    "predict": """\
tf-transfer predict --model=runs/five_labels/export/1 one.png two.jpg""",
}

_DATA = (
    "Data sets: glyphs, digits, npz:PATH, folder:PATH, tfds:NAME; join "
    "sources with +."
)

_STATUS = """\
Exit status:
    0  done
    1  a fault of the program, with a traceback
    2  something given cannot be used, said in one sentence
    3  another worker of a cluster is gone
  130  interrupted (Ctrl-C)
  141  nobody reads the output any more
  143  asked to end (SIGTERM), after saving
Results go to standard output, progress and sentences to standard error. After
3, 130, 143 and after a crash the same `compare` command goes on where it
stopped."""


def overview() -> str:
    """Returns the help of the whole program."""
    lines = [f"  {name:<8}  {what}" for name, what in COMMANDS.items()]
    examples = [text.splitlines()[0] for text in _EXAMPLES.values()]
    return "\n".join(
        [
            "Which source data should a model learn from, and does it help?",
            "",
            "tf-transfer COMMAND [--FLAG=VALUE ...] [FILE ...]",
            "",
            *lines,
            "",
            "tf-transfer COMMAND --help explains a command and its flags,",
            "tf-transfer --helpfull every field of --config; tf-transfer",
            "--version prints the version.",
            "",
            "Examples:",
            *(f"  {line}" for line in examples),
            "",
            textwrap.fill(_DATA, _WIDTH),
            "",
            _STATUS,
        ]
    )


def of_command(name: str) -> str:
    """Returns the help of a command."""
    files = f" {FILES[name].upper().replace(' ', '_')}" if name in FILES else ""
    parts = [
        f"tf-transfer {name} [--FLAG=VALUE ...]{files}",
        f"{COMMANDS[name][:1].upper()}{COMMANDS[name][1:]}.",
        "Flags:\n" + "\n".join(_flag(name, flag) for flag in FLAGS[name]),
        "Examples:\n" + textwrap.indent(_EXAMPLES[name], "  "),
    ]
    if "config" in FLAGS[name]:
        lines = "\n".join(_defaults())
        parts.append(f"Fields of --config and their defaults:\n{lines}")
        note = f"`tf-transfer --helpfull` explains them. {_DATA}"
        parts.append(textwrap.fill(note, _WIDTH))
    return "\n\n".join([*parts, _STATUS])


def fields() -> str:
    """Returns what every field of `--config` means, and its default."""
    parts = ["The fields of --config: --config.FIELD=VALUE"]
    for prefix, settings in _sections():
        what = inspect.getdoc(type(settings))
        parts.append("\n".join([what, "", *_defaults(prefix)]))
    return "\n\n".join(parts)


def _flag(command: str, name: str) -> str:
    """Returns the lines that explain a flag."""
    meaning = _MEANING_OF.get((command, name), MEANING[name])
    shown = f"--{name}" if name in ("quiet", "int8") else f"--{name}=..."
    return _indented(meaning, f"  {shown:<14}", " " * 16)


def _indented(text: str, first: str, other: str) -> str:
    """Returns text in lines of a terminal's width."""
    return textwrap.fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=other
    )


def _sections() -> list[tuple[str, object]]:
    """Returns every group of settings with its prefix, the whole first."""
    whole = config.Experiment()
    found: list[tuple[str, object]] = [("", whole)]
    for field in dataclasses.fields(whole):
        value = getattr(whole, field.name)
        if dataclasses.is_dataclass(value):
            found.append((f"{field.name}.", value))
    return found


def settings() -> list[str]:
    """Returns the full names of all fields of `--config`."""
    return [
        prefix + field.name
        for prefix, group in _sections()
        for field in dataclasses.fields(group)
    ]


def _defaults(only: str | None = None) -> list[str]:
    """Returns `--config.FIELD=DEFAULT` of all groups, or of one."""
    lines = []
    for prefix, settings in _sections():
        if only not in (None, prefix):
            continue
        for field in dataclasses.fields(settings):
            value = getattr(settings, field.name)
            if not dataclasses.is_dataclass(value):
                shown = value if isinstance(value, str) else repr(value)
                line = f"--config.{prefix}{field.name}={shown}"
                lines.append(_indented(line, "  ", "    "))
    return lines
