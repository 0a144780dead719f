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


def test_no_folder_keeps_nothing():
    folder = folder_at(None)
    folder.save(tf.train.Checkpoint(), 1)
    assert folder.newest_complete() is None
    folder.close()
