import pytest

from tf_transfer.report.names import columns, wrapped


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("cat", 3, ["cat"]),
        ("", 3, [""]),
        ("red whiskered bulbul", 14, ["red whiskered", "bulbul"]),
        ("datl_co_tuning", 9, ["datl_co_", "tuning"]),
        ("abcdefgh ij", 3, ["abc", "def", "gh", "ij"]),
        ("\u732b\u72ac\u9ce5", 5, ["\u732b\u72ac", "\u9ce5"]),
        ("e\u0301e\u0301e\u0301", 2, ["e\u0301e\u0301", "e\u0301"]),
        ("a\nb", 9, [r"a\nb"]),
    ],
)
def test_a_name_is_broken_and_nothing_is_lost(name, width, lines):
    assert wrapped(name, width) == lines
    assert all(columns(line) <= width for line in lines)


def test_only_a_name_beyond_all_bounds_is_cut():
    assert wrapped("abcd " * 3, 4, most=2) == ["abcd", "abc\u2026"]
    assert wrapped("abcd " * 2, 4, most=2) == ["abcd", "abcd"]
