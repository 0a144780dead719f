r"""Names of classes, files, folders and machines go through every command.

They hold terminal escapes, line breaks, HTML, Markdown, formulas, marks that
turn the direction of text, and bytes that are no UTF-8.
"""

import contextlib
import csv
import io
import json
import shutil
import sys
from unittest import mock

import numpy as np
import PIL.Image
import pytest

from tests import helpers
from tf_transfer.commands import main

FORGED = "Forged line: all is well"
NAMES = [
    f"\x1b[31mred\r\n{FORGED}\n\n# {FORGED}",
    "<img src=x onerror=alert(1)> [a](javascript:b) | `c`",
    "=1+1",
    "\u202egnp.\u2028\x9b2J\udcff\x07",
]
# Brackets and stars in a path are refused: TensorFlow takes them for patterns.
TITLE = "<img src=x onerror=alert(1)> | `c` _b_"
FLAGS = [
    *helpers.TINY_SETTINGS,
    "--config.data.channels=1",
    "--config.methods=('datl',)",
]
RAW = ("\x1b", "\x9b", "\x07", "\r", "\u202e", "\u2028")
TAG = "<img src=x"


def write_images(folder, seed):
    """Writes twelve images of each class, in a folder of its name."""
    data = helpers.blobs(per_class=12, seed=seed)
    for i, (image, label) in enumerate(
        zip(data.images, data.labels, strict=True)
    ):
        inner = folder / NAMES[label]
        inner.mkdir(parents=True, exist_ok=True)
        picture = PIL.Image.fromarray(image[..., 0])
        picture.save(inner / f"{i} {NAMES[i % 4]}.png")
    return f"folder:{folder}"


def check_text(text, html=False):
    """Asserts that text holds nothing raw, and no line that is not ours."""
    text.encode()  # no half of a character
    for raw in RAW:
        assert raw not in text
    for line in text.splitlines():
        assert not line.lstrip("# ").startswith(FORGED)
    assert not html or TAG not in text


def run_command(*words, status=0):
    """Runs a command; checks its status and all that it prints."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["tf-transfer", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as stopped,
    ):
        main.main()
    printed = out.getvalue() + err.getvalue()
    assert stopped.value.code == status, printed
    check_text(printed)
    return printed


def check_pages(run, document):
    """Asserts that nothing in the report and the document is raw."""
    for page in (run / "report.html", document):
        text = page.read_text(encoding="utf-8")
        check_text(text, html=True)
        assert "onerror" in text  # the name is there, escaped
    assert "[a](javascript:" not in document.read_text()


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `data`, as flags, and a finished `run`."""
    place = tmp_path_factory.mktemp("place")
    data = [
        f"--config.data.{part}={write_images(place / part / NAMES[1], seed)}"
        for seed, part in enumerate(("source", "target"))
    ]
    # The folder's name is a heading of RESULTS.md.
    run = place / NAMES[0] / TITLE
    run_command("compare", *FLAGS, *data, f"--out={run}")
    return place, data, run


def test_weights(place, tmp_path):
    _, data, run = place
    shown = run_command("weights", *FLAGS, *data, f"--out={tmp_path}/look")
    assert r"\x1b[31mred" in shown
    assert r"\udcff" in shown
    for folder in (run, tmp_path / "look"):
        content = (folder / "weights.csv").read_bytes()
        text = content.decode(errors="surrogatepass")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        names = {row["class"] for row in rows}
        assert names == {f"'{n}" if n == "=1+1" else n for n in NAMES}


def test_reports(place, tmp_path):
    *_, run = place
    document = tmp_path / NAMES[3]
    run_command("report", f"--run={run}")
    run_command("results", f"--out={document}", str(run))
    check_pages(run, document)


def test_predict(place):
    folder, _, run = place
    images = [*(folder / "target" / NAMES[1]).rglob("*.png")][::6]
    model = f"--model={run}/export/1"
    shown = run_command("predict", model, *map(str, images))
    assert len(shown.splitlines()) == len(images) == 8
    bad = folder / f"{NAMES[0]}.png"
    bad.write_bytes(b"no image")
    run_command("predict", model, str(bad), status=2)


def test_names_in_a_received_run(place, tmp_path):
    """Those that JSON can hold, half a character among them."""
    run = tmp_path / "run"
    shutil.copytree(place[-1], run)
    names = [*NAMES[:3], "\ud800"]

    def change_data(data):
        data["class_names"] = names
        data["source"] = f"npz:/nowhere/{NAMES[0]}.npz"
        data["target"] = f"folder:{NAMES[1]}\ud800"

    def change_results(results):
        for result in results:
            result["machine"] = "".join(names)
            result["versions"] = dict(zip(names, names, strict=True))
            result["head"] = names[0]
            result["history"] |= {
                names[3]: {"loss": [1.0, 0.5]},
                names[1]: {names[0]: [1.0, 0.5], "loss": [1.0, 0.5]},
            }

    edit(run / "data.json", change_data)
    edit(run / "results.json", change_results)
    edit(
        run / "config.json",
        lambda config: config["fingerprints"].update(source=names[1]),
    )
    document = tmp_path / "R.md"
    run_command("report", f"--run={run}")
    run_command("results", f"--out={document}", str(run))
    check_pages(run, document)
    run_command("export", f"--run={run}", f"--out={tmp_path}/served")
    image = tmp_path / "a.png"
    PIL.Image.fromarray(np.zeros((8, 8), np.uint8)).save(image)
    run_command("predict", f"--model={tmp_path}/served/1", str(image))
    run_command("export", f"--run={run}", "--method=\x1b[2J\nx", status=2)
