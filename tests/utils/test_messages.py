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
