import pytest

from tests import helpers
from tf_transfer.data import loading
from tf_transfer.data.store import cache
from tf_transfer.errors import InputError


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
