import contextlib
import io
import pickle
import zipfile

import numpy as np
import pytest

from tf_transfer.errors import InputError
from tf_transfer.utils.storage import archives


def archive(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    file.seek(0)
    return file


def test_reads_the_arrays_that_are_named():
    arrays = {"a": np.arange(3), "b": np.array(["x", "yz"])}
    file = archive(**arrays, c=np.zeros(1000))
    found = archives.read_npz(file, ["a", "b", "d"], most=100)
    assert set(found) == {"a", "b"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, arrays[name])
    assert archives.names_in(file) == ["a", "b", "c"]


def test_a_large_array_is_refused_before_it_is_unpacked(monkeypatch):
    file = archive(a=np.zeros(10**6, np.uint8))
    monkeypatch.delattr(np.lib.format, "read_array")
    with pytest.raises(ValueError, match="have 1000000 bytes, more than 99"):
        archives.read_npz(file, ["a"], most=99)


def test_a_header_that_promises_little_unpacks_little():
    header = io.BytesIO()
    np.save(header, np.zeros(2, np.uint8))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("a.npy", header.getvalue() + bytes(10**7))
    assert len(archives.read_npz(file, ["a"], most=10)["a"]) == 2


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        pickle.dumps(Evil()),
        archive(a=np.array([Evil()], object)).getvalue(),
        archive(a=np.arange(99)).getvalue()[:-30],
    ],
)
def test_damage_is_one_of_the_named_errors(content, capsys):
    with pytest.raises(archives.DAMAGED):
        archives.read_npz(io.BytesIO(content), ["a"], most=10**6)
    assert capsys.readouterr().out == ""


def test_any_changed_byte_is_one_of_the_named_errors():
    right = archive(a=np.arange(5)).getvalue()
    for place in range(len(right)):
        changed = bytearray(right)
        changed[place] ^= 0xFF
        with contextlib.suppress(archives.DAMAGED):
            archives.read_npz(io.BytesIO(bytes(changed)), ["a"], most=10**6)


def test_large_arrays_that_are_not_compressed_are_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MAPPED", 300)
    expected = {
        "rows": np.arange(60.0).reshape(4, 15),
        "columns": np.asfortranarray(np.arange(60.0).reshape(4, 15)),
        "small": np.arange(3),
    }
    np.savez(tmp_path / "a.npz", **expected)
    found = archives.read_arrays(
        tmp_path / "a.npz", ["rows"], ["columns", "small", "x"]
    )
    assert set(found) == set(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])
        assert isinstance(array, np.memmap) == (name != "small")
        assert not array.flags.writeable or name == "small"
    np.savez_compressed(tmp_path / "a.npz", **expected)
    for array in archives.read_arrays(tmp_path / "a.npz", ["rows"]).values():
        assert not isinstance(array, np.memmap)


def test_damage_of_what_is_mapped_is_one_of_the_named_errors(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(archives, "_MAPPED", 100)
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(40.0))
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        with contextlib.suppress(InputError, *archives.DAMAGED):
            archives.read_arrays(path, ["a"])
