import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.data.streams import streams
from tf_transfer.errors import InputError


def batches(count, labels=None):
    labels = np.arange(count) if labels is None else labels
    arrays = np.zeros((count, 4, 4, 1), np.float32), labels
    return tf.data.Dataset.from_tensor_slices(arrays).batch(2)


def test_an_epoch_is_one_pass_over_the_source():
    steps = list(streams(batches(6), batches(4), batches(2)))
    assert [list(each["source"][1]) for each in steps] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]
    assert [list(each["target"][1]) for each in steps] == [
        [0, 1],
        [2, 3],
        [0, 1],
    ]
    assert [list(each["validation"][1]) for each in steps] == [[0, 1]] * 3


def test_a_fixed_policy_needs_no_validation():
    assert set(streams(batches(2), batches(2)).element_spec) == {
        "source",
        "target",
    }


@pytest.mark.parametrize("name", ["source", "target", "validation"])
def test_refuses_and_names_the_stream(name):
    parts = {part: batches(2) for part in ("source", "target", "validation")}
    bad = {
        "one-hot": batches(2, np.eye(2, dtype=np.int32)),
        "real": batches(2, np.zeros(2, np.float32)),
        "no labels": batches(2).map(lambda images, labels: images),
    }
    for dataset in bad.values():
        with pytest.raises(InputError, match=f"The {name} stream must yield"):
            streams(**parts | {name: dataset})
    with pytest.raises(InputError, match=f"The {name} stream must not be em"):
        streams(**parts | {name: batches(2).take(0)})
    with pytest.raises(InputError, match=f"The {name} stream must be a"):
        streams(**parts | {name: [1, 2]})
