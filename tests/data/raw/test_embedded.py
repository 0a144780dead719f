"""The data sets that need no files of one's own."""

import numpy as np

from tf_transfer.data.raw import embedded, glyphs, loaders


def test_glyphs_come_from_the_cache_the_second_time(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_TRANSFER_CACHE", str(tmp_path))
    monkeypatch.setattr(embedded, "GLYPHS_PER_CLASS", 1)
    first = loaders.load("glyphs")
    monkeypatch.setattr(glyphs, "draw", None)
    second = loaders.load("glyphs")
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert second.class_names == list(glyphs.CHARACTERS)


def test_a_damaged_or_unwritable_cache_does_not_matter(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "GLYPHS_PER_CLASS", 1)
    monkeypatch.setenv("TF_TRANSFER_CACHE", str(tmp_path))
    loaders.load("glyphs")
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(b"not an archive")
    assert len(loaders.load("glyphs").labels) == len(glyphs.CHARACTERS)
    monkeypatch.setenv("TF_TRANSFER_CACHE", str(cached / "below a file"))
    assert len(loaders.load("glyphs").labels) == len(glyphs.CHARACTERS)


def test_digits():
    raw = loaders.load("digits")
    assert raw.images.shape == (1797, 8, 8)
    assert raw.class_names == [str(d) for d in range(10)]
