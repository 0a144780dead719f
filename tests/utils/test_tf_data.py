import numpy as np
import pytest
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.utils import tf_data

EXAMPLES = tf.data.Dataset.from_tensor_slices((["a", "b", "c"], [0, 1, 1]))


def test_says_whether_a_labelled_dataset_yields_batches():
    assert not tf_data.check_labelled(EXAMPLES)
    assert tf_data.check_labelled(EXAMPLES.batch(2))
    weighted = EXAMPLES.map(lambda record, label: (record, label, 1.0))
    assert not tf_data.check_labelled(weighted)


@pytest.mark.parametrize(
    "dataset",
    [
        EXAMPLES.map(lambda record, label: record),
        EXAMPLES.map(lambda record, label: {"record": record, "label": label}),
        EXAMPLES.map(lambda record, label: (record, {"label": label})),
        EXAMPLES.map(lambda record, label: (record, tf.one_hot(label, 2))),
        EXAMPLES.map(lambda record, label: (record, tf.cast(label, "float32"))),
        EXAMPLES.batch(2).batch(2),
    ],
    ids=["no label", "dict", "dict of labels", "one-hot", "real", "nested"],
)
def test_refuses_other_elements(dataset):
    with pytest.raises(
        InputError, match=r"The set must yield pairs, not one-hot .* Received: "
    ):
        tf_data.check_labelled(dataset, "set", "pairs")


def test_refuses_what_is_not_a_dataset():
    with pytest.raises(InputError, match=r"be a tf\.data.* Received: ndarray"):
        tf_data.check_labelled(np.zeros(3))


@pytest.mark.parametrize("batched", [False, True])
def test_refuses_batches_or_single_examples(batched):
    right, wrong = EXAMPLES, EXAMPLES.batch(2)
    if batched:
        right, wrong = wrong, right
    assert tf_data.check_labelled(right, batched=batched) == batched
    with pytest.raises(InputError, match="The source dataset must yield"):
        tf_data.check_labelled(wrong, batched=batched)


def test_refuses_sample_weights_where_pairs_are_needed():
    tf_data.check_labelled(EXAMPLES, pairs=True)
    weighted = EXAMPLES.map(lambda record, label: (record, label, 1.0))
    with pytest.raises(InputError, match="one-hot vectors or sample weights"):
        tf_data.check_labelled(weighted, pairs=True)


def test_refuses_a_dataset_without_end():
    tf_data.check_finite(EXAMPLES, "source dataset")
    with pytest.raises(InputError, match=r"source dataset must end\. Received"):
        tf_data.check_finite(EXAMPLES.repeat(), "source dataset")


def test_quiet_datasets_are_not_tuned():
    quiet = tf_data.quiet(EXAMPLES)
    assert quiet.options().autotune.enabled is False
    assert list(quiet.as_numpy_iterator()) == list(EXAMPLES.as_numpy_iterator())
