import time

import pytest

from tf_transfer.utils import progress


def test_duration():
    assert progress.duration(59.4) == "59 s"
    assert progress.duration(125) == "2 min 05 s"


def test_progress_lines_name_the_activity_and_the_time_left(capsys):
    line = progress.Progress(planned=100)
    line.start("seed 0 of 0..1, datl")
    line.advance(50)
    line.start("seed 1 of 0..1, datl")
    line.close()
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "[  0%] seed 0 of 0..1, datl, estimating time left"
    assert second == "[ 50%] seed 0 of 0..1, datl, 0 s left"
    assert third == "[ 50%] seed 1 of 0..1, datl, 0 s left"
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


def test_a_line_is_repeated_when_nothing_new_is_printed(capsys):
    with progress.alive(pause=0.05):
        time.sleep(0.2)  # nothing to repeat yet
        assert capsys.readouterr().err == ""
        progress.note("loading the data")
        text = ""
        while text.count("\n") < 3:
            text += capsys.readouterr().err
        first, *others = text.splitlines()
        assert first == "[  0%] loading the data"
        assert others[0] == "[  0%] loading the data, for 0 s now"
        progress.rest()
        capsys.readouterr()
        time.sleep(0.2)
        assert capsys.readouterr().err == ""
    progress.note("exporting", 1.0)
    time.sleep(0.2)
    assert capsys.readouterr().err == "[100%] exporting\n"


def test_quiet_repeats_nothing(capsys):
    with progress.alive(quiet=True, pause=0.05):
        progress.note("loading the data")
        time.sleep(0.2)
    assert capsys.readouterr().err == "[  0%] loading the data\n"


@pytest.mark.parametrize("columns", [40, 70, 120])
def test_a_line_in_place_never_reaches_the_end_of_a_terminal(
    capsys, monkeypatch, columns
):
    """There it would go on below, and each update would leave a line."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    line = progress.Progress(planned=4)
    for activity in ("a long name of what is done " * 5, "short"):
        line.start(activity)
    line.clear()
    *drawn, after = capsys.readouterr().err.split("\r")[1:]
    assert [len(each) for each in drawn] == [columns - 1] * 3
    assert drawn[0].endswith("\u2026")
    assert drawn[1].startswith("[  0%] short, estimating")
    assert (drawn[2].strip(), after) == ("", "")


def test_warnings_and_facts_take_the_place_of_a_line_in_place(
    capsys, monkeypatch
):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    line = progress.Progress(planned=2)
    line.start("datl")
    progress.warn("the weights of this run mean very little here")
    progress.fact("chosen: grey images of 12x12 pixels, as the source has")
    line.close()  # there is nothing to end
    output = capsys.readouterr().err.split("\r")[-1]
    assert output.splitlines() == [
        "Warning: the weights of this run mean",
        "       very little here",
        "[note] chosen: grey images of 12x12",
        "       pixels, as the source has",
    ]


def test_a_fact_is_no_activity_that_goes_on(capsys):
    with progress.alive(pause=0.05):
        progress.fact("chosen: grey images")
        time.sleep(0.2)
    assert capsys.readouterr().err == "[note] chosen: grey images\n"
