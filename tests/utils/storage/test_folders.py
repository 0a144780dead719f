import fcntl
import os

import pytest

from tf_transfer.errors import InputError
from tf_transfer.utils.storage import folders
from tf_transfer.utils.storage.folders import Folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def victim(tmp_path):
    """A file outside of the folder that links in it lead to."""
    path = tmp_path / "home" / "victim.txt"
    path.parent.mkdir()
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"
    assert names(path.parent) == ["victim.txt"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return Folder(tmp_path / "run")


@pytest.mark.parametrize("name", ["results.json", "inner/results.json"])
def test_a_file_is_replaced_when_the_block_ends(folder, name):
    folder.make("inner")
    path = folder.path / name
    path.write_text("old")
    with folder.replacing(name) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.name.startswith(folders.PARTIAL)
    assert path.read_text() == "new"
    assert names(path.parent)[-1] == "results.json"
    assert not any(folders.PARTIAL in each for each in names(path.parent))


def test_a_file_is_not_replaced_when_the_block_fails(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")

    def write():
        with folders.replacing(path) as partial:
            partial.write_text("half of the ne")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["results.json"]


def test_a_link_is_replaced_and_not_followed(folder, victim):
    (folder.path / "report.html").symlink_to(victim)
    folder.write("report.html", b"new")
    assert not (folder.path / "report.html").is_symlink()
    with folders.replacing(folder.path / "report.html") as partial:
        partial.write_text("newer")


@pytest.mark.parametrize(
    "act",
    [
        lambda f: f.read("inner/victim.txt", 100),
        lambda f: f.read("file", 100),
        lambda f: f.write("inner/new.txt", b"x"),
        lambda f: f.make("inner"),
        lambda f: f.make("inner/deeper"),
        lambda f: f.below("file"),
        lambda f: f.below("inner/victim.txt"),
        lambda f: f.names("inner"),
        lambda f: f.has("inner/victim.txt"),
        lambda f: f.remove("inner/victim.txt"),
        lambda f: f.remove_leftovers("inner"),
    ],
)
def test_no_link_is_followed(folder, victim, act):
    (folder.path / "inner").symlink_to(victim.parent)
    (folder.path / "file").symlink_to(victim)
    with pytest.raises(InputError, match=r"Received: .*run/(inner|file)"):
        act(folder)


def test_a_link_is_removed_and_not_what_it_leads_to(folder, victim):
    (folder.path / "file").symlink_to(victim)
    (folder.path / "inner").symlink_to(victim.parent)
    (folder.path / "deep").mkdir()
    (folder.path / "deep" / "inner").symlink_to(victim.parent)
    for name in ("file", "inner", "deep"):
        folder.remove(name)
    assert names(folder.path) == []


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "", "."])
def test_nothing_outside_of_the_folder_can_be_named(folder, name):
    for act in (folder.below, folder.has, lambda n: folder.read(n, 100)):
        with pytest.raises(InputError, match="A name is needed"):
            act(name)


def test_reads_regular_files_of_a_limited_size_alone(folder):
    folder.write("a.txt", b"12345")
    assert folder.read("a.txt", most=5) == b"12345"
    assert folder.read("b.txt", most=5) is None
    assert folder.read("no/b.txt", most=5) is None
    with pytest.raises(InputError, match=r"at most 4 bytes.*5 in .*a\.txt"):
        folder.read("a.txt", most=4)
    os.mkfifo(folder.path / "pipe")
    with pytest.raises(InputError, match="regular file"):
        folder.read("pipe", most=4)
    assert folder.has("a.txt")
    assert not folder.has("pipe")


def test_reads_json_or_none(folder):
    assert folder.read_json("data.json", dict, 100) is None
    folder.write("data.json", b'{"a": [1]}')
    assert folder.read_json("data.json", dict, 100) == {"a": [1]}


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"[" * 10**6])
def test_refuses_json_that_is_damaged_or_of_another_kind(folder, content):
    folder.write("data.json", content)
    with pytest.raises(InputError, match=r"be read\. Received: .*data\.json"):
        folder.read_json("data.json", dict, 10**7)


def test_what_a_killed_command_left_is_removed(folder):
    left = f"{folders.PARTIAL}{'0' * 32}"
    folder.write(f"{left}-a.json", b"x")
    folder.make(f"{left}/inner")
    kept = ["partial-mine", f"{left[:-1]}g-a.json"]
    for name in kept:
        folder.write(name, b"x")
    with folder.replacing("b.json") as partial, folder.filling() as filled:
        folder.remove_leftovers()  # another command still writes these
        assert names(folder.path) == sorted([partial.name, filled.name, *kept])
        partial.write_bytes(b"x")
    assert names(folder.path) == sorted(["b.json", *kept])


def test_what_was_filled_and_renamed_stays(folder):
    with folder.filling() as partial:
        (partial / "a").write_text("x")
        partial.rename(folder.path / "1")
    assert names(folder.path) == ["1"]
    assert names(folder.path / "1") == ["a"]


def test_one_object_has_the_lock(folder):
    assert folder.lock()
    other = Folder(folder.path)
    assert not other.lock()
    folder.unlock()
    assert other.lock()


def test_a_file_system_without_locks_is_no_error(folder, monkeypatch):
    def fails(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fails)
    assert folder.lock()
    folder.write("a.txt", b"x")
    assert names(folder.path) == ["a.txt"]


def test_a_folder_that_was_replaced_is_no_longer_current(folder):
    assert folder.is_current()
    folder.path.rmdir()
    assert not folder.is_current()
    folder.path.mkdir()
    assert not folder.is_current()
