import os
import subprocess

import pytest

from tf_transfer.utils import messages


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n too large\nfor this"), "too large"),
        (ValueError(), "ValueError()"),
        (ValueError(" \n"), "ValueError(' \\n')"),
        (OSError(2, "No such file"), "[Errno 2] No such file"),
    ],
)
def test_first_line(error, line):
    assert messages.first_line(error) == line


def test_a_summary_is_one_line_that_starts_with_the_type():
    error = ValueError("too large\n  for this")
    assert messages.summary(error) == "ValueError: too large for this"
    long = messages.summary(OSError("word " * 1000))
    assert long.startswith("OSError: word word")
    assert long.endswith(" word [...]")
    assert len(long) < 320


@pytest.mark.parametrize(
    "name",
    [
        "plain.png",
        "my cat.png",
        "it's; rm x.png",
        "-$(x) `y`.png",
        "größe.png",
        "line\nfeed\t.png",
        "\x1b[31mred 'quoted' back\\slash ü.png",
        "bytes\udcff\udc80.png",
        "right\u202eleft.png",
    ],
)
def test_a_shell_reads_the_word_as_the_name(name):
    word = messages.shell_word(name)
    assert word.isprintable()
    command = ["bash", "-c", f"printf %s {word}"]
    printed = subprocess.run(command, capture_output=True, check=True).stdout
    assert printed == os.fsencode(name)
