import pytest
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.training import checkpoint_folder


def folder_at(path, keep=2):
    scope = tf.distribute.get_strategy()
    return checkpoint_folder.CheckpointFolder(path, keep, scope)


def test_the_newest_is_found_and_read(tmp_path):
    folder = folder_at(tmp_path)
    assert folder.newest_complete() is None
    value = tf.Variable(0.0)
    checkpoint = tf.train.Checkpoint(value=value)
    for step in (5, 10, 15):
        value.assign(float(step))
        folder.save(checkpoint, step)
    assert not (tmp_path / "step-5.index").exists()
    newest = folder.newest_complete()
    assert newest == tmp_path / "step-15"
    read = tf.Variable(0.0)
    checkpoint_folder.restore(tf.train.Checkpoint(value=read), newest)
    assert float(read) == 15
    with pytest.raises(InputError, match="of another model"):
        checkpoint_folder.restore(tf.train.Checkpoint(other=read), newest)


def test_the_leftover_of_a_killed_save_is_removed(tmp_path):
    left = tmp_path / f"partial-{'0' * 32}"
    left.mkdir()
    (left / "step-3.index").write_text("half")
    folder_at(tmp_path).save(tf.train.Checkpoint(), 1)
    assert not left.exists()


def test_what_the_folder_says_of_other_files_is_not_believed(tmp_path):
    """TensorFlow's own list of checkpoints may name any files, to delete."""
    own, home = tmp_path / "own", tmp_path / "home"
    home.mkdir()
    for name in ("step-1.index", "step-1.data-00000-of-00001"):
        (home / name).write_text("precious")
    own.mkdir()
    paths = [f"{home}/step-1", f"{home}/*", "../home/step-1"]
    listed = "".join(f'all_model_checkpoint_paths: "{p}"\n' for p in paths)
    (own / "checkpoint").write_text(
        f'model_checkpoint_path: "{home}/step-1"\n{listed}'
    )
    folder = folder_at(own, keep=1)
    value = tf.Variable(1.0)
    for step in (1, 2, 3):
        assert not folder.newest_complete() or step > 1
        folder.save(tf.train.Checkpoint(value=value), step)
    assert len(list(home.iterdir())) == 2
    assert len(list(own.glob("step-*"))) == 2


@pytest.mark.parametrize("linked", ["index", "data"])
def test_links_are_neither_read_nor_written_through(tmp_path, linked):
    own, home = tmp_path / "own", tmp_path / "home"
    value = tf.Variable(1.0)
    checkpoint = tf.train.Checkpoint(value=value)
    for path in (own, home):
        folder_at(path).save(checkpoint, 5)
    names = {"index": "step-5.index", "data": "step-5.data-00000-of-00001"}
    (own / names[linked]).unlink()
    (own / names[linked]).symlink_to(home / names[linked])
    before = {p.name: p.read_bytes() for p in home.iterdir()}
    folder = folder_at(own, keep=1)
    with pytest.warns(UserWarning, match="step-5 is damaged"):
        assert folder.newest_complete() is None
    value.assign(2.0)
    folder.save(checkpoint, 5)
    assert folder.newest_complete() == own / "step-5"
    folder.save(checkpoint, 6)
    assert {p.name: p.read_bytes() for p in home.iterdir()} == before


@pytest.mark.parametrize(
    "record",
    [
        *("", "{", "[]", "{}", '{"step": "1"}', '{"step": -1}', "[" * 100_000),
        '{"step": 1, "logs": 3, "seconds": 0.0, "inside": false}',
    ],
)
def test_a_record_of_another_kind_is_refused(record):
    with pytest.raises(InputError, match="damaged"):
        checkpoint_folder.read_record(record, "step-1")


def test_no_folder_keeps_nothing():
    folder = folder_at(None)
    folder.save(tf.train.Checkpoint(), 1)
    assert folder.newest_complete() is None
    folder.close()
