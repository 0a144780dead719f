import numpy as np
import PIL.Image
import pytest

from tests import helpers
from tf_transfer.data import loading
from tf_transfer.data.store import cache
from tf_transfer.errors import InputError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The name of a data set of 60 image files, and a cache of its own."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for i in range(60):
        folder = tmp_path / "photos" / "abc"[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (9 + i % 2, 9, 3)).astype(np.uint8)
        PIL.Image.fromarray(image).save(folder / f"{i}.png")
    return f"folder:{tmp_path / 'photos'}"


def load(name, share=0.0, **settings):
    return loading.load(name, 8, 3, memory_share=share, **settings)


def test_a_cache_that_cannot_be_written_is_told(photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"choose another by `data\.cache`"):
        load(photos, cache=str(tmp_path / "file"))


def test_the_command_lists_and_clears(photos, monkeypatch, capsys):
    load(photos)
    (name,) = cache.contents()
    for flags, expected in (([], ""), (["--clear"], "  removed")):
        status, output, _ = helpers.call_command(
            monkeypatch, capsys, "cache", *flags
        )
        assert status == 0
        assert f"  {name}  0.00 GiB{expected}\n" in output
    _, output, _ = helpers.call_command(monkeypatch, capsys, "cache")
    assert "nothing" in output
