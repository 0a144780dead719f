import pytest

from tf_transfer.errors import InputError
from tf_transfer.utils import files


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with files.replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.name.startswith(files.PARTIAL)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["results.json"]


def test_a_file_is_not_replaced_when_the_block_fails(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")

    def write():
        with files.replacing(path) as partial:
            partial.write_text("half of the ne")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["results.json"]


def test_plain_content_is_what_json_reads_back():
    assert files.plain({"a": (1, 2), "b": None}) == {"a": [1, 2], "b": None}


def test_reads_json_or_none(tmp_path):
    path = tmp_path / "data.json"
    assert files.read_json(path, dict) is None
    path.write_text('{"a": [1]}')
    assert files.read_json(path, dict) == {"a": [1]}


@pytest.mark.parametrize("content", ["{", "[1]", b"\xff"])
def test_refuses_json_that_is_damaged_or_of_another_kind(tmp_path, content):
    path = tmp_path / "data.json"
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"be read\. Received: .*data\.json"):
        files.read_json(path, dict)
