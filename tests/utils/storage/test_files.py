import os

import pytest

from tf_transfer.errors import InputError
from tf_transfer.utils.storage import files


def test_reads_a_file_and_what_a_link_leads_to(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert files.read_regular(tmp_path / "a", 3) == b"123"
    assert files.read_regular(tmp_path / "b", 3) == b"123"
    with pytest.raises(InputError, match="no link"):
        files.open_regular(tmp_path / "b", 3, follow=False)


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "folder", "to_zero"])
def test_refuses_what_may_never_end(tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "to_zero").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="regular file is needed"):
        files.read_regular(tmp_path / path, 100)


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?/b", "a\\b"])
def test_refuses_a_path_that_is_a_pattern(name, monkeypatch, tmp_path):
    with pytest.raises(
        InputError, match=r"without \* \? \[\] and .* Received: /"
    ):
        files.check_no_pattern(name)
    files.check_no_pattern("[a")  # a pair alone is a pattern
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(InputError, match="without"):
        files.check_no_pattern("run")


def test_refuses_a_large_file_before_it_is_read(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(30 << 30)
    with pytest.raises(InputError, match=f"at most 100 bytes.*{30 << 30} in"):
        files.read_regular(tmp_path / "sparse", 100)


def test_an_absent_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.read_regular(tmp_path / "a", 100)
