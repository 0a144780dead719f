import io

import pytest

from tf_transfer.utils import terminal

TEXT = "no method shows a significant gain here"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_has_no_width_and_its_sentences_stay_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert terminal.columns(io.StringIO()) is None
    assert terminal.filled(TEXT, io.StringIO()) == TEXT


@pytest.mark.parametrize(
    ("given", "columns"), [("60", 60), ("", 80), ("wide", 80), ("3", 20)]
)
def test_the_width_of_a_terminal(monkeypatch, given, columns):
    monkeypatch.setenv("COLUMNS", given)
    assert terminal.columns(Terminal()) == columns


def test_a_terminal_breaks_sentences_between_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    text = terminal.filled(f"{TEXT} /a/path-that/is-long/than-20/x", Terminal())
    assert text.splitlines() == [
        "no method shows a",
        "significant gain",
        "here",
        "/a/path-that/is-long/than-20/x",
    ]
    monkeypatch.setenv("COLUMNS", "200")
    assert (
        max(map(len, terminal.filled(TEXT * 9, Terminal()).split("\n"))) <= 100
    )
