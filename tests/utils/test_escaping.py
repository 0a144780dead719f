import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_transfer.utils import escaping


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 \u732b\u3000\u00a0x", "caf\u00e9 \u732b\u3000\u00a0x"),
        ('it\'s \\ "it"', 'it\'s \\ "it"'),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\x1b[31mred\x9b0m", r"\x1b[31mred\x9b0m"),
        ("\u202egnp\u2028\u200b", r"\u202egnp\u2028\u200b"),
        ("\ud800\udcff", r"\ud800\udcff"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_a_terminal_may_see(text, shown):
    assert escaping.printable(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_becomes_one_line_that_can_be_written(text):
    for shown in (
        escaping.printable(text),
        escaping.markdown(text),
        escaping.markdown_code(text),
    ):
        shown.encode()
        assert len(shown.splitlines()) <= 1
        assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x86_64, 4 cores", "x86_64, 4 cores"),
        ("x\n\n# Forged", r"x\n\n# Forged".replace("\\", "\\\\")),
        ("<img src=x onerror=a()>", "&lt;img src=x onerror=a()&gt;"),
        ("[a](javascript:b)", r"\[a\](javascript:b)"),
        ("*a* | `b` ~~c~~", r"\*a\* \| \`b\` \~\~c\~\~"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_what_markdown_may_hold(text, shown):
    assert escaping.markdown(text) == shown


def test_code_in_markdown_ends_where_it_should():
    assert escaping.markdown_code("a b") == "`a b`"
    assert escaping.markdown_code("a``b`") == "``` a``b` ```"


def test_code_in_markdown_holds_no_html():
    shown = escaping.markdown_code("<img> `a` _b_")
    assert shown == r"<code>&lt;img&gt; \`a\` \_b\_</code>"


@pytest.mark.parametrize("text", ["=A1", "+1", "-1", "@x", "\t=1", "'=1"])
def test_a_cell_is_no_formula(text):
    cell = escaping.csv_cell(text)
    assert cell.startswith("'")
    assert escaping.from_csv_cell(cell) == text


@pytest.mark.parametrize("text", ["", "-", "=", "'", "cat", "'s", "a=b"])
def test_other_cells_stay_as_they_are(text):
    assert escaping.csv_cell(text) == escaping.from_csv_cell(text) == text


@given(st.text(st.sampled_from("'=+-@ab\t"), max_size=5))
def test_a_cell_is_read_as_it_was_written(text):
    assert escaping.from_csv_cell(escaping.csv_cell(text)) == text
