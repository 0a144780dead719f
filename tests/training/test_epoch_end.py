import keras
import numpy as np
import pytest

from tests.training import interrupted
from tf_transfer.errors import InputError
from tf_transfer.training import epoch_end

sgd = keras.optimizers.SGD


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: sgd(0.1, use_ema=True, ema_momentum=0.9),
        lambda: sgd(0.1, use_ema=True, ema_overwrite_frequency=3),
        lambda: keras.optimizers.LossScaleOptimizer(
            sgd(0.1, use_ema=True, ema_momentum=0.9)
        ),
    ],
)
@pytest.mark.slow
def test_averages_are_used_after_the_whole_training(optimizer, tmp_path):
    interrupted.check_same(
        lambda: interrupted.dense(optimizer()), tmp_path, 4, 6
    )


@pytest.mark.parametrize("min_delta", [0.0, 1e9])  # improves, or stops
def test_best_weights_are_restored_after_the_whole_training(
    min_delta, tmp_path
):
    def stopping():
        return [
            keras.callbacks.EarlyStopping(
                "loss",
                min_delta=min_delta,
                patience=2,
                restore_best_weights=True,
            )
        ]

    interrupted.check_same(
        lambda: interrupted.dense(sgd(0.1)),
        tmp_path,
        6,
        4,
        callbacks=stopping,
        epochs=5,
    )


def test_swapped_weights_are_refused(tmp_path):
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    optimizer = sgd(0.1, use_ema=True)
    with pytest.raises(InputError, match="must leave the weights"):
        interrupted.resumed(
            lambda: interrupted.dense(optimizer),
            tmp_path,
            callbacks=lambda: [swap],
        )


def test_only_what_has_changed_is_put_back():
    model = interrupted.dense()
    kept = model.get_weights()
    end = epoch_end.EpochEnd(model, lambda: model.variables)
    end.put_back()  # nothing
    end.keep()
    model.layers[0].bias.assign(np.ones(4))
    assert not end.swapped()  # the optimizer has no averages
    end.put_back()
    for one, other in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("batches", [0, 2, 5])
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_data_that_end_are_refused(batches, monkeypatch):
    endless = interrupted.data()
    monkeypatch.setattr(
        interrupted, "data", lambda start: endless.take(batches)
    )
    taken = batches % 4
    with pytest.raises(InputError, match=f"Received: {taken} of 4 steps"):
        interrupted.resumed(interrupted.dense, None)


def test_bfloat16_as_the_default_float_resumes(tmp_path, default_float):
    default_float("bfloat16")
    whole, first = interrupted.resumed(interrupted.dense, tmp_path / "a")
    broken, second = interrupted.resumed(interrupted.dense, tmp_path / "b", 6)
    assert first.history() == second.history()
    for one, two in zip(whole.variables, broken.variables, strict=True):
        assert (np.array(one) == np.array(two)).all()
