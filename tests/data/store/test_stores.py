import io
import os
import signal
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.data import bulk_framing, loading
from tf_transfer.data.raw import image_files
from tf_transfer.data.store import cache, stores
from tf_transfer.data.store.indexed import IndexedImages
from tf_transfer.errors import InputError


def load(name, share=0.0, **settings):
    return loading.load(name, 8, 3, memory_share=share, **settings)


def files(tmp_path):
    """The content of all stores, by name."""
    return {
        str(path): path.read_bytes()
        for path in sorted((tmp_path / "cache").rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("align", [True, False])
def test_a_stored_data_set_is_the_one_in_memory(photos, align):
    memory, disk = (load(photos, share, align=align) for share in (1.0, 0.0))
    assert isinstance(memory.images, np.ndarray)
    assert isinstance(disk.images, IndexedImages)
    np.testing.assert_array_equal(disk.images[:], memory.images)
    assert disk.fingerprint() == memory.fingerprint()
    assert disk.known_hash[:16] == memory.fingerprint()
    assert disk.frame == memory.frame


def test_a_store_is_made_once_and_found_again(photos, capsys, monkeypatch):
    first = load(photos)
    assert "storing 60 framed images" in capsys.readouterr().err
    monkeypatch.setattr(bulk_framing.BulkFramer, "chunks", None)
    again = load(photos)
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(again.images[:], first.images[:])
    assert again.fingerprint() == first.fingerprint()


def test_another_file_size_or_label_is_another_store(photos, tmp_path):
    def count():
        load(photos)
        return len(cache.contents())

    assert count() == 1
    loading.load(photos, 9, 3, memory_share=0)
    assert len(cache.contents()) == 2
    path = tmp_path / "photos" / "a" / "0.png"
    os.utime(path, (0, 0))
    assert count() == 3
    (tmp_path / "photos" / "a").rename(tmp_path / "photos" / "d")
    assert count() == 4


def test_damaged_files_are_left_out_of_both(photos, tmp_path):
    (tmp_path / "photos" / "b" / "1.png").write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"1 image files cannot be read.*1\.png"
        ):
            load(photos)
    for _ in range(2):  # made, and found
        with pytest.warns(UserWarning, match="Left out are 1 image files"):
            disk = load(photos, damaged="skip")
        with pytest.warns(UserWarning, match="Left out are 1 image files"):
            memory = load(photos, share=1.0, damaged="skip")
        assert len(disk.labels) == 59
        np.testing.assert_array_equal(disk.images[:], memory.images)
        assert disk.fingerprint() == memory.fingerprint()


def test_absent_files_of_a_table_are_damaged_ones(photos, tmp_path):
    rows = [f"photos/a/{i}.png,{i % 2}\n" for i in (0, 3, 6)]
    table = tmp_path / "all.csv"
    table.write_text("path,label\n" + "".join(rows) + "none.png,1\n")
    with pytest.raises(InputError, match=r"cannot be read.*none\.png"):
        load(f"csv:{table}")
    with pytest.warns(UserWarning, match="Left out are 1 image files"):
        disk = load(f"csv:{table}", damaged="skip")
    assert len(disk.labels) == 3


def test_another_test_part_is_another_store(photos, tmp_path):
    """It is not measured, so that the frame may be another."""
    rows = [f"photos/a/{i}.png,{i % 2},{i % 4}\n" for i in (0, 3, 6, 9)]
    table = tmp_path / "all.csv"
    table.write_text("path,label,split\n" + "".join(rows).replace("2", "test"))
    load(f"csv:{table}")
    load(f"csv:{table},split=split")
    assert len(cache.contents()) == 2


def test_a_full_disk_is_told_and_nothing_is_left(photos, monkeypatch):
    usage = stores.shutil.disk_usage("/")
    monkeypatch.setattr(
        stores.shutil, "disk_usage", lambda path: usage._replace(free=100)
    )
    with pytest.raises(InputError, match=r"need 0\.00 GiB on the disk, and"):
        load(photos)
    assert cache.contents() == {}


@pytest.mark.parametrize("name", ["images.bin", "digests.bin"])
def test_a_store_with_a_file_of_another_size_is_refused(photos, tmp_path, name):
    load(photos)
    (path,) = (tmp_path / "cache").rglob(name)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="the number of stored images"):
        load(photos)


def test_an_interrupted_store_is_continued(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(bulk_framing, "CHUNK", 10)
    monkeypatch.setattr(stores, "CHUNK", 10)
    monkeypatch.setattr(stores, "_BETWEEN", 1)
    load(photos)
    whole = files(tmp_path)
    cache.clear()
    chunks = bulk_framing.BulkFramer.chunks
    started = []

    def stopping(self, start=0):
        started.append(start)
        for number, chunk in enumerate(chunks(self, start)):
            if number == 2:
                raise KeyboardInterrupt
            yield chunk

    monkeypatch.setattr(bulk_framing.BulkFramer, "chunks", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            load(photos)
    load(photos)
    assert started == [0, 20, 40]
    assert {k: v for k, v in files(tmp_path).items() if k in whole} == whole


_MAKE = """
import sys
from tf_transfer.data import bulk_framing, loading
from tf_transfer.data.store import stores
bulk_framing.CHUNK = stores.CHUNK = 2
stores._BETWEEN = 1
loading.load(sys.argv[1], 8, 3, memory_share=0)
"""


@pytest.mark.slow
def test_kills_while_a_store_is_made_leave_no_trace(photos, tmp_path):
    """At ten moments; the same command ends with the same store."""
    command = [sys.executable, "-c", _MAKE, photos]
    subprocess.run(command, check=True)
    whole = files(tmp_path)
    rng = np.random.default_rng(0)
    for _ in range(10):
        cache.clear()
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True
        ) as child:
            lines = rng.integers(1, 25)
            for _, line in zip(range(lines), child.stderr, strict=False):
                assert "storing" in line or line
            child.send_signal(signal.SIGKILL)
        subprocess.run(command, check=True)
        assert files(tmp_path) == whole


def test_two_processes_make_one_store(photos, tmp_path):
    command = [sys.executable, "-c", _MAKE, photos]
    children = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sum("storing 60 framed images" in error for error in errors) == 1
    assert len(cache.contents()) == 1


def test_encoded_images_without_files_are_stored_anew(photos):
    """Nothing tells whether they are the same another time."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.zeros((9, 9), np.uint8)).save(buffer, "PNG")
    images = image_files.EncodedImages([buffer.getvalue()] * 4)
    raw = image_files.RawImages(images, np.arange(4) % 2, ["a", "b"])
    for count in (1, 2):
        framed = loading.frame(raw, 8, 1, memory_share=0)
        assert isinstance(framed.images, IndexedImages)
        assert len(cache.contents()) == count


@pytest.mark.slow
def test_where_images_lie_changes_no_run(photos, tmp_path):
    """A run is continued from memory, and has the same results from there."""
    rows = []
    for share, run in ((0.0, "disk"), (1.0, "disk"), (1.0, "memory")):
        config = helpers.tiny_experiment(methods=("finetune", "datl", "l2tl"))
        config.data.source, config.data.memory_share = photos, share
        results = tt.compare(config, tmp_path / run, quiet=True)
        rows.append([(r.method, r.accuracy, r.gain) for r in results])
        assert len(cache.contents()) == 1
    assert rows[0] == rows[1] == rows[2]
