import numpy as np
import pytest

from tests import helpers
from tf_transfer.datl import diagnostics
from tf_transfer.report.text import verdict
from tf_transfer.utils import progress


def test_duration():
    assert progress.duration(59.4) == "59 s"
    assert progress.duration(125) == "2 min 05 s"


def test_progress_lines_name_the_activity_and_the_time_left(capsys):
    line = progress.Progress(planned=100)
    line.start("seed 1/2, datl")
    line.advance(50)
    line.start("seed 2/2, datl")
    line.close()
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "[  0%] seed 1/2, datl, estimating time left"
    assert second == "[ 50%] seed 1/2, datl, 0 s left"
    assert third == "[ 50%] seed 2/2, datl, 0 s left"
    progress.Progress(10, quiet=True).start("nothing")
    assert capsys.readouterr().err == ""


def test_a_log_has_a_line_for_each_tenth(capsys):
    line = progress.Progress(planned=100)
    for _ in range(50):
        line.advance(2)
    line.close()
    output = capsys.readouterr().err
    assert [each[:6] for each in output.splitlines()] == [
        f"[{tenth * 10:3}%]" for tenth in range(1, 11)
    ]
    assert "\r" not in output


def test_progress_stays_on_one_line_of_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    line = progress.Progress(planned=2)
    line.start("datl")
    line.advance(1)
    line.close()
    output = capsys.readouterr().err
    assert output.count("\r") == 2
    assert output.count("\n") == 1


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
    figures = diagnostics.diagnose(values, values * prior, prior)
    rows = helpers.weight_rows(values)
    text = verdict(rows, figures, right=0.9)
    assert words in text
    assert "right on 90% of its own source images." in text
    text = verdict(rows, figures, right=1.1 / len(values))
    assert words not in text
    assert "train it longer (`generalist.steps`)." in text
    least = text.splitlines()[2]
    assert f"class {len(values) - 1}" in least
    assert "class 0" not in least
    assert f"class 0 {values[0]:.1f}" in text
