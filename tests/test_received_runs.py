"""A run folder with any one change: each command ends, or says what is wrong.

Nothing outside of the folder is touched.
"""

import contextlib
import json
import os
import shutil
import signal

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import helpers
from tf_transfer.commands import main
from tf_transfer.errors import InputError

pytestmark = pytest.mark.slow

SETTINGS = {
    "data.image_size": 8,
    "data.channels": 1,
    "data.labels_per_class": 4,
    "data.validation_per_class": 2,
    "encoder.width": 4,
    "generalist.steps": 4,
    "generalist.batch_size": 64,
    "pretraining.steps": 4,
    "pretraining.batch_size": 8,
    "finetuning.steps": 4,
    "finetuning.batch_size": 8,
    "finetuning.learning_rates": "(0.02,)",
    "l2tl.steps": 4,
    "l2tl.policy_warmup": 1,
    "checkpoint_every": 2,
    "methods": "('finetune','datl','l2tl')",
    "seeds": 1,
}
SECRET = "precious, and of nobody else"
LONGEST = 100  # seconds of one command
SPARSE = 30 * 2**30


class HangError(BaseException):
    """A command did not end; not an Exception, which could be handled."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data and a finished run, `original`."""
    place = tmp_path_factory.mktemp("place")
    for name, data in helpers.domains().items():
        np.savez(
            place / f"{name}.npz", x_train=data.images, y_train=data.labels
        )
    assert main.run(command("compare", place, "original")) == 0
    # Matplotlib sets itself up before anything is timed.
    assert main.run(command("results", place, "original")) == 0
    return place


def command(name, place, run="run"):
    """The words of a command for a run of the place."""
    if name == "results":
        return ["tf-transfer", name, f"--out={place}/R.md", str(place / run)]
    if name != "compare":
        return ["tf-transfer", name, f"--run={place / run}"]
    flags = SETTINGS | {
        f"data.{part}": f"npz:{place}/{part}.npz"
        for part in ("source", "target")
    }
    flags = [f"--config.{key}={value}" for key, value in flags.items()]
    return ["tf-transfer", name, "--quiet", f"--out={place / run}", *flags]


TEXTS = st.one_of(
    st.sampled_from(["", "..", "../home", "/", "a" * 5000, "\0", "\x1b[2J\n"]),
    st.sampled_from(["<script>", "=1+1", "\ud800", "nan", "1e999", "9" * 5000]),
    st.sampled_from(["tfds:mnist", "tfds:huggingface:x", "folder:/", "npz:x"]),
    st.sampled_from(["datl", "l2tl", "scratch", "../../home/victim", "none"]),
    st.text(max_size=20),
)
NUMBERS = st.one_of(
    st.integers(-2, 9),
    st.sampled_from([-1, 2**31, 2**63, 10**9, 10**400, -(10**30), 0.5]),
    st.sampled_from([float("nan"), float("inf"), 1e308, -1e-308, 1e18]),
)
VALUES = st.one_of(
    NUMBERS,
    TEXTS,
    st.sampled_from([None, True, False, [], {}, [[]], [{}], "deep"]),
    st.recursive(
        st.one_of(NUMBERS, TEXTS, st.none()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner)
        ),
        max_leaves=5,
    ),
)


def places_in(content):
    """Yields every container of a JSON value with a key of it."""
    pairs = []
    if isinstance(content, dict):
        pairs = list(content.items())
    elif isinstance(content, list):
        pairs = list(enumerate(content))
    for key, value in pairs:
        yield content, key
        yield from places_in(value)


def changed_json(draw, text):
    """Changes one value of a JSON file."""
    content = json.loads(text)
    places = list(places_in(content))
    # A long log must not crowd out the rest.
    names = sorted({key for _, key in places if isinstance(key, str)})
    if draw(st.booleans()) and names:
        name = draw(st.sampled_from(names))
        places = [each for each in places if each[1] == name]
    holder, key = draw(st.sampled_from(places))
    value = draw(VALUES)
    how = draw(st.sampled_from(["replace"] * 4 + ["drop", "add", "whole"]))
    hypothesis.note(f"{how} {key!r}: {value!r:.80}")
    if how == "whole":
        content = value
    elif how == "drop":
        del holder[key]
    elif how == "replace":
        holder[key] = value
    elif isinstance(holder, list):
        holder.insert(key, draw(st.sampled_from([value, holder[key]])))
    else:
        holder[draw(TEXTS)] = value
    text = json.dumps(content)
    return text.replace('"deep"', "[" * 100_000 + "]" * 100_000).encode()


def changed_csv(draw, text):
    """Changes one cell, row or column of a CSV file."""
    rows = [line.split(",") for line in text.decode().splitlines()]
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, len(rows[0]) - 1))
    how = draw(st.sampled_from(["cell"] * 3 + ["drop", "twice", "column"]))
    value = str(draw(st.one_of(NUMBERS, TEXTS)))
    hypothesis.note(f"{how} {row}, {column}: {value!r:.80}")
    if how == "cell":
        rows[row][column] = value
    elif how == "drop":
        del rows[row]
    elif how == "twice":
        rows.insert(row, rows[row])
    else:
        for each in rows:
            del each[column]
    text = "".join(",".join(cells) + "\r\n" for cells in rows)
    return text.encode(errors="surrogatepass")


def changed_bytes(draw, content):
    """Changes one byte, or cuts or prolongs the rest."""
    if not content:
        return b"x"
    at = draw(st.integers(0, len(content) - 1))
    how = draw(st.sampled_from(["byte", "byte", "cut", "more", "empty"]))
    hypothesis.note(f"{how} at {at}")
    if how == "byte":
        byte = draw(st.integers(0, 255))
        return content[:at] + bytes([byte]) + content[at + 1 :]
    if how == "more":
        return content + draw(st.binary(min_size=1, max_size=9))
    return content[:at] if how == "cut" else b""


OTHERS = {
    "link to a file": lambda path, home: path.symlink_to(home / "victim.txt"),
    "link to a model": lambda path, home: path.symlink_to(home / "m.keras"),
    "link to a folder": lambda path, home: path.symlink_to(home / "folder"),
    "link to nothing": lambda path, home: path.symlink_to(home / "new"),
    "link to itself": lambda path, home: path.symlink_to(path),
    "pipe": lambda path, home: os.mkfifo(path),
    "folder": lambda path, home: path.mkdir(),
    "folder that is full": lambda path, home: (path / "a" / "b").mkdir(
        parents=True
    ),
    "huge file": lambda path, home: sparse(path),
    "nothing": lambda path, home: None,
}


def sparse(path):
    with path.open("wb") as file:
        file.truncate(SPARSE)


PARSED = ["config.json", "data.json", "results.json", "weights.csv"]


def change(draw, run, home):
    """Makes one change in a run."""
    name = draw(st.sampled_from(PARSED * 4 + sorted(os.listdir(run))))
    paths = [run / name, *sorted((run / name).rglob("*"))]
    path = draw(st.sampled_from(paths))
    hypothesis.note(str(path.relative_to(run)))
    parsers = {".json": changed_json, ".csv": changed_csv}
    parse = parsers.get(path.suffix, changed_bytes)
    how = draw(st.sampled_from([parse, parse, changed_bytes, "other"]))
    if how == "other" or path.is_dir():
        other = draw(st.sampled_from(sorted(OTHERS)))
        hypothesis.note(other)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        OTHERS[other](path, home)
    else:
        path.write_bytes(how(draw, path.read_bytes()))


def state(folder):
    """All that a folder holds: names, kinds, times and contents."""
    entries = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        entries[path] = status.st_mode, status.st_mtime_ns, content
    return entries


@contextlib.contextmanager
def limited():
    """Raises HangError if the block takes too long."""

    def stop(number, frame):
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fresh(place):
    """Copies the run and what its links may lead to."""
    for name in ("run", "home"):
        shutil.rmtree(place / name, ignore_errors=True)
    for name in ("R.md", "gains.png"):
        (place / name).unlink(missing_ok=True)
    shutil.copytree(place / "original", place / "run")
    home = place / "home"
    for number in range(2):
        folder = home / "folder" / str(number)
        folder.mkdir(parents=True)
        (folder / "partial-0.txt").write_text(SECRET)
    model = next((place / "original").glob("checkpoints/*.keras"))
    shutil.copy(model, home / "m.keras")
    (home / "victim.txt").write_text(SECRET)
    return place / "run", home


# Exports load and save models: they take as long as ten of the others.
COMMANDS = st.sampled_from(
    [("report", "results", "compare")] * 5
    + [("compare", "report")] * 2
    + [("export", "compare", "report")]
)


def trial(place, draw):
    """Changes a copy of the run, and runs some commands on it."""
    run, home = fresh(place)
    change(draw, run, home)
    before = state(home), state(place / "original")
    allowed = {path.name for path in place.iterdir()} | {"R.md", "gains.png"}
    for name in draw(COMMANDS):
        hypothesis.note(name)
        with contextlib.suppress(InputError), limited():
            assert main.run(command(name, place)) == 0
        assert (state(home), state(place / "original")) == before, name
        assert {path.name for path in place.iterdir()} <= allowed
    report = run / "report.html"
    if report.is_file() and not report.is_symlink():
        assert SECRET not in report.read_bytes()[: 10**7].decode(
            errors="replace"
        )


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # to look for a smaller change takes too long
)
@given(st.data())
def test_any_one_change_of_a_run(place, choice):
    trial(place, choice.draw)
