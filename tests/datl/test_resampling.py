import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tf_transfer.datl import resampling
from tf_transfer.errors import InputError

WEIGHTS = np.array([2.5, 0.4, 1.0, 0.0], np.float32)
COUNTS = np.array([100, 400, 340, 160])
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), COUNTS))
EXPECTED = COUNTS * WEIGHTS / (COUNTS @ WEIGHTS)


def records(batch_size=None):
    """(record, label) of the whole source; the record is its index."""
    dataset = tf.data.Dataset.from_tensor_slices(
        (np.arange(len(LABELS)), LABELS)
    )
    return dataset if batch_size is None else dataset.batch(batch_size)


def all_pairs(dataset):
    """All (index, label) pairs of a dataset of batches."""
    pairs = [np.stack(pair) for pair in dataset.as_numpy_iterator()]
    return np.concatenate(pairs, axis=1)


def chi_squared(labels):
    """p-value of the labels under the expected distribution."""
    counts = np.bincount(labels, minlength=4)
    assert counts[3] == 0
    return stats.chisquare(counts[:3], EXPECTED[:3] * counts.sum()).pvalue


@pytest.mark.parametrize("batch_size", [None, 64])
def test_streaming_keeps_pairs_and_matches_the_weighted_shares(batch_size):
    stage = resampling.resample(records(batch_size).repeat(20), WEIGHTS, seed=1)
    index, labels = all_pairs(stage if batch_size else stage.batch(64))
    np.testing.assert_array_equal(LABELS[index], labels)
    # Less variance than independent draws, so p must be far from 0.
    assert chi_squared(labels) > 0.05
    expected = 20 * (COUNTS @ WEIGHTS)
    assert len(labels) == pytest.approx(expected, rel=0.02)


def test_streaming_keeps_the_batch_size():
    stage = resampling.resample(records(64).repeat(3), WEIGHTS, seed=1)
    sizes = {len(labels) for _, labels in stage.as_numpy_iterator()}
    assert 64 in sizes
    assert len(sizes) <= 2
    endless = records().repeat().batch(64, drop_remainder=True)
    stage = resampling.resample(endless, WEIGHTS, seed=1, block_size=128)
    assert stage.element_spec[1].shape == (64,)


def test_streaming_copies_are_floor_or_ceiling():
    index, _ = all_pairs(resampling.resample(records(50), WEIGHTS, seed=3))
    copies = np.bincount(index, minlength=len(LABELS))
    assert set(copies[LABELS == 0]) == {2, 3}
    assert set(copies[LABELS == 1]) == {0, 1}
    assert set(copies[LABELS == 2]) == {1}


def test_elastic_stream_has_no_duplicates_and_exact_shares_at_a_low_rate():
    stage = resampling.resample(
        records(100), WEIGHTS, seed=2, replacement=False, rate=0.4
    )
    index, labels = all_pairs(stage)
    assert len(set(index)) == len(index)
    assert chi_squared(labels) > 0.01


@pytest.mark.parametrize("replacement", [True, False])
def test_streaming_repeats_by_seed(replacement):
    def run(seed):
        return all_pairs(
            resampling.resample(
                records(50), WEIGHTS, seed=seed, replacement=replacement
            )
        )

    np.testing.assert_array_equal(run(5), run(5))
    assert run(5).shape != run(6).shape or (run(5) != run(6)).any()


def test_streaming_shuffles_what_it_emits():
    stage = resampling.resample(records(), tf.ones(4), seed=0)
    index, _ = all_pairs(stage.batch(100))
    assert (index != np.arange(1000)).any()
    np.testing.assert_array_equal(np.sort(index), np.arange(1000))


def test_streaming_before_decoding_decodes_only_what_is_all_pairs():
    decoded = []

    def decode(record, label):
        tf.py_function(lambda r: decoded.extend(r.numpy()), [record], [])
        return record, label

    stage = resampling.resample(records(100), WEIGHTS, seed=0).map(decode)
    index, _ = all_pairs(stage)
    np.testing.assert_array_equal(decoded, index)


def test_batches_of_static_and_of_unknown_shape_give_the_same():
    numbers = tf.data.Dataset.from_tensor_slices(
        ({"number": tf.range(len(LABELS))}, LABELS)
    ).repeat()
    results = []
    for static in (True, False):
        stage = resampling.resample(
            numbers.batch(8, drop_remainder=static),
            WEIGHTS,
            seed=3,
            block_size=32,
        )
        batches = [record["number"].numpy() for record, _ in stage.take(30)]
        results.append(batches)
    np.testing.assert_array_equal(*results)


def test_draw_matches_the_weighted_shares_and_is_uniform_inside_a_class():
    stage = resampling.index_draw(LABELS, WEIGHTS, batch_size=500, seed=4)
    index = np.concatenate(list(stage.take(40).as_numpy_iterator()))
    assert chi_squared(LABELS[index]) > 0.01
    inside = np.bincount(index, minlength=len(LABELS))[LABELS == 0]
    assert stats.chisquare(inside).pvalue > 0.01


def test_draw_repeats_by_seed_and_continues_at_a_position():
    def run(seed, start, count):
        stage = resampling.index_draw(
            LABELS, WEIGHTS, batch_size=8, seed=seed, start=start
        )
        return np.stack(list(stage.take(count).as_numpy_iterator()))

    np.testing.assert_array_equal(run(1, 0, 6)[3:], run(1, 3, 3))
    assert (run(1, 0, 3) != run(2, 0, 3)).any()


def test_draw_continues_inside_a_block_of_batches():
    labels = np.random.default_rng(0).integers(0, 300, 2000)
    weights = tf.random.stateless_uniform([300], [1, 2])

    def run(start, count):
        stage = resampling.index_draw(
            labels, weights, batch_size=40, seed=5, start=start
        )
        return np.array(list(stage.take(count).as_numpy_iterator()))

    whole = run(0, 12)
    np.testing.assert_array_equal(run(3, 9), whole[3:])
    large = resampling.index_draw(labels, weights, batch_size=400, seed=5)
    assert next(iter(large)).shape == (400,)  # one batch at a time
    again = np.array([run(i, 1)[0] for i in range(12)])
    np.testing.assert_array_equal(again, whole)


def test_draw_follows_a_variable():
    variable = tf.Variable([1.0, 0, 0, 0])
    stage = resampling.index_draw(LABELS, variable, batch_size=50, seed=0)
    iterator = iter(stage)
    assert set(LABELS[next(iterator)]) == {0}
    variable.assign([0, 0, 1.0, 0])
    for _ in range(100):  # more than are drawn ahead
        later = next(iterator)
    assert set(LABELS[later]) == {2}


def test_elastic_order_prefix_matches_the_weights_without_duplicates():
    counts = np.zeros(4)
    for seed in range(300):
        order = resampling.elastic_order(LABELS, WEIGHTS, seed)
        counts += np.bincount(LABELS[order[:20]], minlength=4)
    assert len(set(order)) == len(order) == COUNTS[:3].sum()
    # Drift from sampling without replacement stays small at 2 % of N.
    np.testing.assert_allclose(counts / counts.sum(), EXPECTED, atol=0.03)
    np.testing.assert_array_equal(
        resampling.elastic_order(LABELS, WEIGHTS, 7),
        resampling.elastic_order(LABELS, WEIGHTS, 7),
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resampling.resample(records(), WEIGHTS, seed=-1), "`seed`"),
        (
            lambda: resampling.resample(records(), WEIGHTS, seed=0, rate=0),
            "`rate` must be positive",
        ),
        (
            lambda: resampling.resample(
                tf.data.Dataset.range(3), WEIGHTS, seed=0
            ),
            r"yield \(record, class number\)",
        ),
        (
            lambda: resampling.resample(
                tf.data.Dataset.from_tensor_slices((np.eye(3), np.eye(3))),
                WEIGHTS,
                seed=0,
            ),
            "not one-hot vectors",
        ),
        (
            lambda: resampling.resample(records(), tf.zeros(4), seed=0),
            "and not all 0. Received: 0 to 0",
        ),
        (
            lambda: resampling.resample(
                records(), tf.constant([np.inf, 1, 1, 1]), seed=0
            ),
            "Weights must be finite.*Received: 1 to inf",
        ),
        (
            lambda: resampling.resample(
                records(), tf.constant([-1.0, 2, 1, 1]), seed=0
            ),
            "Weights must be .* not negative.*Received: -1 to 2",
        ),
        (
            lambda: resampling.resample([1, 2], WEIGHTS, seed=0),
            r"must be a tf\.data\.Dataset\. Received: list",
        ),
        (
            lambda: resampling.resample(
                records(), WEIGHTS, seed=0, rate=np.inf
            ),
            "`rate` must be positive",
        ),
        (
            lambda: resampling.elastic_order(LABELS, [-1.0, 1, 1, 1], 0),
            "not negative",
        ),
        (
            lambda: resampling.index_draw(
                np.array([0, 9]), WEIGHTS, batch_size=1, seed=0
            ),
            "Received: label 9",
        ),
        (
            lambda: resampling.index_draw(
                LABELS, WEIGHTS, batch_size=0, seed=0
            ),
            "batch_size=0",
        ),
        (
            lambda: resampling.index_draw(
                LABELS, WEIGHTS, batch_size=1, seed=0, start=-1
            ),
            "start=-1",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    "weights",
    [[0.0] * 4, [3.0, 1.0, 1.0, -1.0], [np.inf, 1.0, 1.0, 1.0]],
)
def test_invalid_weights_stop_the_draw_with_a_sentence(weights):
    stage = resampling.index_draw(
        LABELS, tf.constant(weights), batch_size=2, seed=0
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="and not all 0"):
        next(iter(stage))


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_outside_the_weights_stops_the_stream_with_a_sentence(label):
    dataset = tf.data.Dataset.from_tensor_slices(([0, 1], [0, label])).batch(2)
    stage = resampling.resample(dataset, WEIGHTS, seed=0)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"must lie in \[0, 4\)"
    ):
        list(stage)


def test_copies_of_a_large_weight_come_a_block_at_a_time():
    labels = np.array([1] + [0] * 99)
    blocks = tf.data.Dataset.from_tensors((np.arange(100), labels))
    weights = tf.constant([0.5, 9000.0])
    parts = resampling._chosen(blocks, weights, 0, True, 1.0, 64)
    sizes = [len(some) for _, some in parts.as_numpy_iterator()]
    assert max(sizes) == 64
    assert 9020 < sum(sizes) < 9080


def test_a_weight_above_a_block_is_warned_of():
    with pytest.warns(UserWarning, match="copied up to 9000 times"):
        stage = resampling.resample(
            records(50).take(1),
            tf.constant([0.5, 9000.0, 0.0, 0.0]),
            seed=0,
            block_size=64,
        )
    index, labels = all_pairs(stage)
    np.testing.assert_array_equal(LABELS[index], labels)
    assert set(np.bincount(index[labels == 1])) <= {0, 9000}


def test_endless_single_examples_stay_endless():
    stage = resampling.resample(records().repeat(), WEIGHTS, seed=0)
    assert stage.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_weights_may_be_a_list(kind):
    weights = kind([3.0, 0.0])
    dataset = tf.data.Dataset.from_tensor_slices((["a", "b"], [0, 1]))
    drawn = resampling.resample(dataset, weights, seed=0)
    assert [label for _, label in drawn.as_numpy_iterator()] == [0, 0, 0]
    labels = np.array([1, 0, 1])
    indices = resampling.index_draw(labels, weights, batch_size=4, seed=0)
    assert next(iter(indices)).numpy().tolist() == [1, 1, 1, 1]
