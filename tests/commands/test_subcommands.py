import csv
import json

import numpy as np
import pytest

from tests import helpers


def test_compare_prints_a_table_and_paths(monkeypatch, capsys, tmp_path):
    out = tmp_path / "run"
    config = helpers.REPOSITORY / "configs" / "glyphs_to_digits.py"
    status, output, progress = helpers.call_command(
        monkeypatch,
        capsys,
        "compare",
        f"--config={config}",
        f"--out={out}",
        *helpers.TINY_SETTINGS,
        "--config.methods=('finetune','datl')",
    )
    assert status == 0
    assert "target accuracy %" in output
    assert "datl" in output
    assert f"  {out / 'results.json'}" in output
    assert "left" in progress
    page = (out / "report.html").read_bytes()
    status, output, _ = helpers.call_command(
        monkeypatch, capsys, "report", f"--run={out}"
    )
    assert (status, output) == (0, f"Written: {out / 'report.html'}\n")
    assert (out / "report.html").read_bytes() == page


def test_weights_prints_a_verdict(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, output, _ = helpers.call_command(
        monkeypatch, capsys, "weights", *helpers.TINY_SETTINGS, "--quiet"
    )
    assert status == 0
    assert "source classes" in output
    assert (tmp_path / "runs/glyphs_to_digits-weights/weights.csv").exists()


def test_classes_are_chosen_by_name(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, output, _ = helpers.call_command(
        monkeypatch,
        capsys,
        "weights",
        *helpers.TINY_SETTINGS,
        "--config.data.source_classes=('A','B','C')",
        "--config.data.target_classes=('7','1')",
        "--out=run",
    )
    assert status == 0
    assert "of 3 source classes" in output
    with open("run/weights.csv", encoding="utf-8") as file:
        assert [row["class"] for row in csv.DictReader(file)] == list("ABC")


def test_bad_labels_and_pixels_in_a_file(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((6, 8, 8))
    names = np.array(["a", "b"])
    cases = {
        "label": (pixels, [0, 1, 2, 0, 1, 0], "[0, 2). Received: label 2"),
        "nan": (pixels * np.nan, [0, 1] * 3, "finite"),
        "empty": (pixels[:0], np.zeros(0, int), "no images"),
        "words": (pixels, ["a", "b"] * 3, "must hold class numbers"),
        "huge": (pixels, [0, 2**60] * 3, "must hold class numbers"),
        "flat": (pixels[0], [0] * 8, "must hold numbers of shape"),
        "text": (pixels.astype(str), [0, 1] * 3, "must hold numbers"),
        "vast": (pixels + 1e300, [0, 1] * 3, "real numbers up to"),
        "thin": (pixels[:, :0], [0, 1] * 3, "must have pixels"),
    }
    for name, (x, y, message) in cases.items():
        np.savez(f"{name}.npz", x_train=x, y_train=y, class_names=names)
        status, _, err = helpers.call_command(
            monkeypatch,
            capsys,
            "weights",
            f"--config.data.target=npz:{name}.npz",
            "--config.data.source=digits",
        )
        assert status == 2
        assert message in err
    assert not (tmp_path / "runs").exists()


def write_results(folder):
    """Writes the configuration and the results of a finished run."""
    folder.mkdir(parents=True)
    data = {"source": "glyphs", "target": "digits", "labels_per_class": 4}
    config = {
        "data": data | {"validation_per_class": 2},
        "methods": ["finetune", "datl"],
        "seeds": 2,
    }
    results = [
        helpers.result(method, seed, accuracy).to_json()
        for method, accuracies in (("finetune", (8, 9)), ("datl", (8.5, 9.5)))
        for seed, accuracy in enumerate(np.divide(accuracies, 10))
    ]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "results.json").write_text(json.dumps(results))


@pytest.mark.parametrize("name", [None, "mine.md"])
def test_results_writes_a_document_and_a_plot(
    monkeypatch, capsys, tmp_path, name
):
    monkeypatch.chdir(tmp_path)
    write_results(tmp_path / "runs" / "one")
    write_results(tmp_path / "runs" / "two")
    flags = [f"--out={name}"] if name else []
    status, output, _ = helpers.call_command(
        monkeypatch, capsys, "results", *flags, "runs/one", "runs/two"
    )
    assert status == 0
    out, plot = name or "RESULTS.md", tmp_path / "runs" / "gains.png"
    assert output == f"Written: {out}\nWritten: {plot}\n"
    text = (tmp_path / out).read_text()
    assert "| one | 85.0 +- 63.5 | datl | +5.0 +- 0.0 | -33 % |" in text
    assert "## Two\n" in text
    assert plot.stat().st_size > 1000
    status, _, err = helpers.call_command(
        monkeypatch, capsys, "results", *flags, "runs/one", "runs/three"
    )
    assert status == 2
    assert err == (
        "tf-transfer: There is no run of `compare` in the folder. "
        "Received: runs/three\n"
    )
    assert (tmp_path / out).read_text() == text
