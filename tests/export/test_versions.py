import os
import pathlib

import pytest

from tf_transfer.errors import InputError
from tf_transfer.export import versions


def test_numbers_go_on_after_the_largest(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    for number in ("8", "9"):
        version = versions.publish(
            tmp_path, lambda folder: (folder / "file").write_text("x")
        )
        assert version == tmp_path / number
        assert (version / "file").read_text() == "x"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["7", "8", "9", "notes"]


def test_a_number_taken_meanwhile_is_passed_over(tmp_path):
    def write(folder):
        (folder / "mine").write_text("")
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "theirs").write_text("")

    assert versions.publish(tmp_path, write) == tmp_path / "2"


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt, KeyError])
def test_a_failure_leaves_nothing(tmp_path, error):
    def fail(folder):
        (folder / "half").write_text("")
        raise error("no")

    with pytest.raises(error):
        versions.publish(tmp_path / "export", fail)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "export").mkdir()
    with pytest.raises(error):
        versions.publish(tmp_path / "export", fail)
    assert os.listdir(tmp_path / "export") == []


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "export"):
        with pytest.raises(InputError, match=r"cannot be written.*Received"):
            versions.publish(root, pathlib.Path.touch)
