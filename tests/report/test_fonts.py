import numpy as np
import pytest
from PIL import Image

from tf_transfer.report import figures, fonts


def drawn(path, title):
    """The pixels of an empty figure with a title."""
    figure = figures.new_figure(4, 2)
    figure.add_subplot().set_title(title)
    fonts.save(figure, path)
    return np.asarray(Image.open(path).convert("L"))


@pytest.mark.parametrize("title", ["cat", "caf\u00e9", "\u03b1 \u2192\n\u03b2"])
def test_what_a_font_has_is_drawn_as_it_is(title):
    assert fonts.drawable(title) == title


def test_a_character_without_a_font_is_a_question_mark_with_a_note(tmp_path):
    """A private character, for which there is no font; nothing warns."""
    assert fonts.drawable("a\ue000b") == "a?b"
    plain = drawn(tmp_path / "plain.png", "a?b")
    noted = drawn(tmp_path / "noted.png", "a\ue000b")
    assert plain.shape == noted.shape
    assert (noted[-20:] < 200).any()  # the note
    assert not np.array_equal(plain, noted)


def test_a_name_at_a_tick_is_drawn_with_question_marks_too(tmp_path):
    """An axis writes its names anew; a missing glyph would warn."""
    pictures = []
    for name in ("a?", "a\ue000"):
        figure = figures.new_figure(2, 2)
        figure.add_subplot().set_xticks([0, 1], [name, "b"])
        fonts.save(figure, tmp_path / "ticks.png")
        texts = [each.get_text() for each in figure.axes[0].get_xticklabels()]
        assert texts == ["a?", "b"]
        pictures.append(np.asarray(Image.open(tmp_path / "ticks.png")))
    assert not np.array_equal(*pictures)  # the note


def test_a_further_font_is_used_where_there_is_one(monkeypatch):
    monkeypatch.setattr(fonts, "_fonts", lambda: {"One": {97}, "Two": {0x732B}})
    assert fonts.drawable("a\u732b\u72ac") == "a\u732b?"
