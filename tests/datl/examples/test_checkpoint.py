import numpy as np
import pytest

from tf_transfer.datl.examples import checkpoint as checkpoint_lib
from tf_transfer.datl.examples.checkpoint import ScoresCheckpoint
from tf_transfer.errors import InputError

PLACES = np.array([4, 0, 2, 5])


@pytest.fixture(autouse=True)
def _always_due(monkeypatch):
    monkeypatch.setattr(checkpoint_lib, "_EVERY", 0)


def checkpoint(path, columns, coefficients=(1.0, 2.0)):
    return ScoresCheckpoint(path, np.array(coefficients), columns, PLACES)


def test_scores_go_back_to_their_places(tmp_path):
    path, column = tmp_path / "scores.npz", np.arange(6, dtype=np.float32)
    checkpoint(path, [column]).save(3)
    again = np.full(6, -1, np.float32)
    assert checkpoint(path, [again]).restore() == 3
    np.testing.assert_array_equal(again, [0, -1, 2, -1, 4, -1])
    assert [p.name for p in tmp_path.iterdir()] == ["scores.npz"]


def test_without_a_file_nothing_is_restored_or_written(tmp_path):
    column = np.zeros(6, np.float32)
    assert checkpoint(None, [column]).restore() == 0
    checkpoint(None, [column]).save(2)
    assert checkpoint(tmp_path / "scores.npz", [column]).restore() == 0
    with pytest.raises(InputError, match="folder of the checkpoint"):
        checkpoint(tmp_path / "absent" / "scores.npz", [column])


@pytest.mark.parametrize(
    "arrays",
    [
        {"coefficients": np.array([1.0, 3.0])},
        {"coefficients": np.array([1.0])},
        {"coefficients": np.array(["a", "b"])},
        {"column_0": np.zeros(5, np.float32)},
        {"column_0": np.zeros((2, 2), np.float32)},
        {"column_0": np.zeros(2)},
        {"column_0": np.array(1.0, np.float32)},
        {"column_0": np.array([1.0, np.nan], np.float32)},
        {"column_0": np.array([1.0, -1.0], np.float32)},
        {"digest": np.zeros(32, np.uint8)},
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, arrays):
    path = tmp_path / "scores.npz"
    checkpoint(path, [np.zeros(6, np.float32)]).save(2)
    right = dict(np.load(path))
    np.savez(path, **right | arrays)
    with pytest.raises(InputError, match="of other images"):
        checkpoint(path, [np.zeros(6, np.float32)]).restore()


def test_round_off_of_another_process_does_not_matter(tmp_path):
    path, column = tmp_path / "scores.npz", np.zeros(6, np.float32)
    checkpoint(path, [column], (1.0, 1e-9)).save(2)
    assert checkpoint(path, [column], (1.001, 2e-9)).restore() == 2
    with pytest.raises(InputError, match="of other images"):
        checkpoint(path, [column], (1.1, 1e-9)).restore()


def test_a_link_and_code_in_a_file_are_refused(tmp_path):
    path, column = tmp_path / "scores.npz", np.zeros(6, np.float32)
    checkpoint(path, [column]).save(2)
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "nowhere.npz")
    with pytest.raises(InputError):
        checkpoint(link, [column]).restore()
    objects = np.array([{}, {}], dtype=object)
    np.savez(path, **dict(np.load(path)) | {"column_0": objects})
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint(path, [column]).restore()
