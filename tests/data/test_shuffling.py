import numpy as np
import pytest

from tf_transfer.data import shuffling
from tf_transfer.errors import InputError


def test_shuffled_visits_everything_once_an_epoch_in_a_new_order():
    stage = shuffling.shuffled(100, batch_size=30, seed=1).take(10)
    index = np.concatenate(list(stage.as_numpy_iterator()))
    first, second = index[:100], index[100:200]
    assert sorted(first) == sorted(second) == list(range(100))
    assert (first != second).any()
    later = shuffling.shuffled(100, batch_size=30, seed=1, start=4).take(1)
    np.testing.assert_array_equal(next(iter(later)), index[120:150])


def test_orders_repeat_by_seed():
    def first(seed):
        stage = shuffling.shuffled(100, batch_size=30, seed=seed)
        return next(iter(stage)).numpy()

    np.testing.assert_array_equal(first(1), first(1))
    assert (first(1) != first(2)).any()


def test_refuses_a_seed():
    with pytest.raises(InputError, match=r"`seed` must be .* Received: -1"):
        shuffling.shuffled(100, batch_size=30, seed=-1)
