import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tf_transfer.utils import randomness

POSITIONS = tf.range(1001)


def test_numbers_are_uniform_over_positions_steps_and_seeds():
    over = {
        "positions": randomness.uniform(3, 5, tf.range(4000)),
        "steps": [randomness.uniform(3, step, 0) for step in range(500)],
        "seeds": [randomness.uniform(seed, 3, 0) for seed in range(500)],
    }
    for name, numbers in over.items():
        assert stats.kstest(np.array(numbers), "uniform").pvalue > 1e-3, name


def test_neighbouring_steps_and_seeds_are_independent():
    first = np.array(randomness.uniform(0, 0, tf.range(4000)))
    for other in ((0, 1), (1, 0), (1, 1)):
        numbers = np.array(randomness.uniform(*other, tf.range(4000)))
        assert abs(np.corrcoef(first, numbers)[0, 1]) < 0.06


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_same_in_graph_mode_and_compiled(jit_compile):
    function = tf.function(
        lambda seed, step: randomness.uniform(seed, step, POSITIONS),
        jit_compile=jit_compile,
    )
    compiled = function(tf.constant(7), tf.constant(2**40, tf.int64))
    np.testing.assert_array_equal(
        compiled, randomness.uniform(7, 2**40, POSITIONS)
    )
    assert compiled.numpy().min() >= 0
    assert compiled.numpy().max() < 1


def test_largest_breaks_ties_anew_each_step():
    example_weights = tf.constant([0.0, 1.0, 0.5, 0.5, 0.5, 0.5])
    chosen = [
        randomness.largest(example_weights, 3, seed=0, step=step).numpy()
        for step in range(40)
    ]
    assert all(1 in indices for indices in chosen)
    assert all(0 not in indices for indices in chosen)
    ties = np.bincount(np.concatenate(chosen), minlength=6)[2:]
    assert ties.sum() == 80
    assert ties.min() > 8
    again = randomness.largest(example_weights, 3, seed=0, step=7)
    np.testing.assert_array_equal(again, chosen[7])
    other_ties = randomness.largest(tf.zeros(50), 10, seed=0, step=0)
    seeded = randomness.largest(tf.zeros(50), 10, seed=1, step=0)
    assert (other_ties != seeded).numpy().any()
    everything = randomness.largest(tf.zeros(6), 6, seed=0, step=0)
    assert sorted(everything.numpy()) == list(range(6))
