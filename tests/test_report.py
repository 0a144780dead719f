import csv

import conftest
import numpy as np
import pytest

from tf_transfer import diagnostics, report


def result(method, seed):
    return {
        "method": method,
        "seed": seed,
        "history": {"finetuning": {"loss": [2.0, 1.0]}},
    }


RESULTS = [
    result(method, seed) for method in ("finetune", "datl") for seed in range(2)
]


def test_duration():
    assert report.duration(59.4) == "59 s"
    assert report.duration(125) == "2 min 05 s"


def test_progress_lines_tell_what_and_how_long(capsys):
    progress = report.Progress(planned=100)
    progress.says("seed 1/2, datl")
    progress.advance(50)
    progress.says("seed 2/2, datl")
    progress.close()
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "[  0%] seed 1/2, datl, estimating time left"
    assert second == "[ 50%] seed 1/2, datl, 0 s left"
    assert third == "[ 50%] seed 2/2, datl, 0 s left"
    report.Progress(10, quiet=True).says("nothing")
    assert capsys.readouterr().err == ""


def test_a_log_has_a_line_for_each_tenth(capsys):
    progress = report.Progress(planned=100)
    for _ in range(50):
        progress.advance(2)
    progress.close()
    shown = capsys.readouterr().err
    assert [line[:6] for line in shown.splitlines()] == [
        f"[{tenth * 10:3}%]" for tenth in range(1, 11)
    ]
    assert "\r" not in shown


def test_progress_stays_on_one_line_of_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = report.Progress(planned=2)
    progress.says("datl")
    progress.advance(1)
    progress.close()
    shown = capsys.readouterr().err
    assert shown.count("\r") == 2
    assert shown.count("\n") == 1


def weight_rows(values):
    prior = 1 / len(values)
    return [
        {
            "seed": 0,
            "class_id": i,
            "class": f"class {i}",
            "source_prior": prior,
            "target_prior": value * prior,
            "target_prior_low": 0.5 * value * prior,
            "target_prior_high": 1.5 * value * prior,
            "weight": value,
        }
        for i, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([2.0, 1.0, 1.0, 0.0], "worth a try"),
        ([1.0, 1.0, 1.0, 1.0], "nearly equal"),
        ([20.0] + [0.0] * 19, "Warning: The effective sample size"),
    ],
)
def test_verdict(values, words):
    values = np.array(values)
    prior = np.full(len(values), 1 / len(values))
    found = diagnostics.diagnose(values, values * prior, prior)
    text = report.verdict(weight_rows(values), found)
    assert words in text
    assert f"class 0 {values[0]:.1f}" in text


def test_writes_weights_and_pictures(tmp_path):
    from PIL import Image

    images = conftest.blobs(per_class=3, classes=60)
    rows = weight_rows(np.linspace(0, 2, 60))
    report.write_weights(tmp_path, rows, images, images.take(range(60)))
    with open(tmp_path / "weights.csv", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [float(row["weight"]) for row in read] == [
        row["weight"] for row in rows
    ]
    report.write_curves(tmp_path, RESULTS)
    for name in ("weights", "side_by_side", "learning_curves"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 600
            assert np.asarray(picture).std() > 5


def test_learned_weights_are_written_and_drawn(tmp_path):
    images = conftest.blobs()
    rows = [
        {
            "seed": 0,
            "class_id": c,
            "class": name,
            "weight": 1.0,
            "target_prior": 0.25,
            "target_prior_low": 0.2,
            "target_prior_high": 0.3,
            "l2tl_weight": c / 2,
        }
        for c, name in enumerate(images.class_names)
    ]
    report.write_weights(tmp_path, rows, images, images)
    assert (tmp_path / "l2tl_weights.png").stat().st_size > 1000
    header = (tmp_path / "weights.csv").read_text().splitlines()[0]
    assert header.endswith(",l2tl_weight")


def test_curves_show_the_stages_there_were(tmp_path):
    report.write_curves(tmp_path, [result("l2tl", 0) | {"history": {}}])
    assert not (tmp_path / "learning_curves.png").exists()
    joint = {"joint": {"loss": [1.0]}, "learning": {"loss": [2.0]}}
    report.write_curves(tmp_path, [result("l2tl", 0) | {"history": joint}])
    assert (tmp_path / "learning_curves.png").stat().st_size > 1000
