import keras
import numpy as np
import pytest

from tests.training import interrupted
from tf_transfer.errors import InputError
from tf_transfer.training import callback_state

callbacks = keras.callbacks


def test_attributes_come_back_as_they_were():
    class Mine(callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.array = np.arange(3, dtype=np.int16)
            self.arrays = [np.ones((2, 2), np.float32), np.zeros(1)]
            self.number, self.small = 1 / 3, np.float32(1 / 3)
            self.best, self.name, self.empty = None, "a/b", []
            self.nested = {"a": [1, 2.5]}
            self.function = len

    one, other = Mine(), Mine()
    state = callback_state.encode([one])
    other.set_params({"epochs": 7})
    for name in ("array", "arrays", "number", "small", "name", "nested"):
        setattr(other, name, None)
    other.best, other.empty, other.function = 3, [1], max
    callback_state.decode(state, [other])
    assert other.params == {"epochs": 7}
    assert other.function is max
    for name in ("number", "small", "best", "name", "empty", "nested"):
        assert getattr(other, name) == getattr(one, name)
        assert type(getattr(other, name)) is type(getattr(one, name))
    np.testing.assert_array_equal(one.array, other.array)
    assert other.array.dtype == np.int16
    for a, b in zip(one.arrays, other.arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="must have the 1 callbacks"):
        callback_state.decode(state, [])


@pytest.mark.parametrize(
    "callback",
    [
        lambda: callbacks.ReduceLROnPlateau(
            "loss", patience=2, factor=0.5, min_delta=1e9, cooldown=0
        ),
        lambda: callbacks.LearningRateScheduler(lambda e: 0.1 / (e + 1)),
    ],
)
def test_learning_rates_go_on(callback, tmp_path):
    interrupted.check_same(
        lambda: interrupted.dense(keras.optimizers.SGD(0.1)),
        tmp_path,
        4,
        6,
        callbacks=lambda: [callback()],
        epochs=5,
    )


def test_the_best_score_of_a_file_goes_on(tmp_path):
    """Later epochs are worse; the file is that of the first."""

    class Worse(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = float(-epoch)

    path = str(tmp_path / "best.weights.h5")

    def both():
        return Worse(), callbacks.ModelCheckpoint(
            path,
            "score",
            mode="max",
            save_best_only=True,
            save_weights_only=True,
        )

    make = interrupted.dense
    interrupted.resumed(make, None, callbacks=both, epochs=1)
    first = make()
    first.load_weights(path)
    interrupted.resumed(make, tmp_path / "run", 6, callbacks=both)
    second = make()
    second.load_weights(path)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_callback_that_moves_the_epochs_is_refused(tmp_path):
    def backup():
        return [callbacks.BackupAndRestore(tmp_path / "backup")]

    with pytest.raises(InputError, match=r"leave out .* BackupAndRestore"):
        interrupted.resumed(
            interrupted.dense,
            tmp_path / "run",
            6,
            callbacks=backup,
            every=99,
        )
