import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.errors import InputError


def weights(values, **settings):
    examples = tt.ExampleWeights(len(values), **settings)
    examples.assign(values)
    return examples


def source(count, batch_size=None):
    """The examples 0, 1, ... with alternating labels."""
    numbers = np.arange(count)
    dataset = tf.data.Dataset.from_tensor_slices((numbers, numbers % 2))
    return dataset.batch(batch_size) if batch_size else dataset


def test_weights_start_equal_and_are_set_with_mean_one():
    examples = tt.ExampleWeights(3)
    np.testing.assert_array_equal(examples.numpy(), 1)
    examples.assign([1, 2, 3])
    np.testing.assert_allclose(examples.numpy(), [0.5, 1, 1.5])
    assert int(examples.updates) == 1


def test_classes_keep_the_shares_of_their_own_weights():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 400)
    class_weights = np.array([0.2, 0.5, 1.0, 3.0, 0.0])
    examples = tt.ExampleWeights(400)
    examples.update(
        rng.exponential(size=400),
        beliefs=rng.random(400),
        labels=labels,
        class_weights=class_weights,
    )
    drawn = np.bincount(labels, examples.numpy(), minlength=5) / 400
    wanted = np.bincount(labels, minlength=5) * class_weights
    np.testing.assert_allclose(drawn, wanted / wanted.sum(), rtol=1e-5)


def test_scores_move_weight_within_a_class_alone():
    examples = tt.ExampleWeights(4, floor=0.0)
    examples.update([1, 3, 5, 5], labels=[0, 0, 1, 1])
    np.testing.assert_allclose(examples.numpy(), [0.5, 1.5, 1, 1])


def test_a_class_without_any_score_keeps_its_share():
    examples = tt.ExampleWeights(4, floor=0.0, clip=None)
    examples.update([0, 0, 1, 3], labels=[0, 0, 1, 1])
    np.testing.assert_allclose(examples.numpy(), [1, 1, 0.5, 1.5])


def test_ratios_are_bounded_and_tempered():
    examples = tt.ExampleWeights(4, temper=0.5, floor=0.25, clip=2.25)
    examples.update([0, 0, 0, 4])  # relative to the mean: 0, 0, 0, 4
    values = np.array([0.5, 0.5, 0.5, 1.5])
    np.testing.assert_allclose(examples.numpy(), values / values.mean())


def test_a_huge_ratio_does_not_flatten_the_others():
    ratios = np.append(np.linspace(0.2, 3, 99), 5e21)
    examples = tt.ExampleWeights(100, floor=0.1, clip=10.0)
    examples.update(ratios)
    found = examples.numpy()
    assert found.max() == pytest.approx(10, rel=1e-3)
    others = found[:99] / ratios[:99]
    np.testing.assert_allclose(others[10:], others[-1], rtol=1e-4)
    assert found[98] > 10 * found[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratios": [1, 1]}, "3 entries, one per example"),
        ({"ratios": [1, -1, 1]}, "finite and not negative. Received: -1"),
        ({"ratios": [1, np.nan, 1]}, "finite"),
        ({"ratios": [1, 1, 1], "beliefs": [1]}, "`beliefs` must have 3"),
        ({"ratios": [1, 1, 1], "labels": [0, 1]}, "3 labels"),
        ({"ratios": [1, 1, 1], "labels": [0, 1, 2.0]}, "integers"),
        ({"ratios": [1, 1, 1], "class_weights": [1, 1]}, "need `labels`"),
        (
            {
                "ratios": [1, 1, 1],
                "labels": [0, 1, 2],
                "class_weights": [1, 1],
            },
            "label 2",
        ),
        ({"ratios": [1, 1, 1], "beliefs": [0, 0, 0]}, "not all be 0"),
    ],
)
def test_scores_refuse(arguments, message):
    examples = tt.ExampleWeights(3)
    with pytest.raises(InputError, match=message):
        examples.update(**arguments)
    assert int(examples.updates) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"num_examples": 0},
        {"temper": -1},
        {"temper": np.inf},
        {"floor": -0.1},
        {"floor": 1.5},
        {"clip": 0.5},
    ],
)
def test_the_constructor_refuses(settings):
    with pytest.raises(InputError, match="Received"):
        tt.ExampleWeights(**{"num_examples": 3} | settings)


def test_config_round_trip():
    examples = tt.ExampleWeights(5, temper=0.5, clip=3.0)
    again = tt.ExampleWeights.from_config(examples.get_config())
    assert again.get_config() == examples.get_config()


@pytest.mark.parametrize("batch_size", [None, 3])
def test_attach_gives_each_example_its_own_weight(batch_size):
    examples = weights([4, 3, 2, 1, 0])
    triples = examples.attach(source(5, batch_size))
    found = np.concatenate([np.atleast_1d(w) for _, _, w in triples])
    np.testing.assert_allclose(found, examples.numpy())
    # New weights reach a dataset that was made before.
    examples.assign([0, 0, 0, 0, 1])
    found = np.concatenate([np.atleast_1d(w) for _, _, w in triples])
    np.testing.assert_allclose(found, [0, 0, 0, 0, 5])


def test_attach_refuses_more_examples_than_weights():
    triples = weights([1, 1]).attach(source(3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="2 examples"):
        list(triples)


@pytest.mark.parametrize("verb", ["attach", "resample"])
def test_datasets_without_an_end_are_refused(verb):
    arguments = {"seed": 0} if verb == "resample" else {}
    with pytest.raises(InputError, match="must end"):
        getattr(weights([1, 1]), verb)(source(2).repeat(), **arguments)


@pytest.mark.parametrize("batch_size", [None, 50])
def test_resampling_copies_examples_by_their_weights(batch_size):
    values = np.arange(200) % 4
    examples = weights(values)
    drawn = examples.resample(source(200, batch_size), seed=0)
    count = 4000 // (batch_size or 1)
    numbers = [np.atleast_1d(x) for x, _ in drawn.take(count)]
    counts = np.bincount(np.concatenate(numbers), minlength=200) / 20
    np.testing.assert_allclose(counts.mean(), 1)
    shares = [counts[values == v].mean() for v in range(4)]
    np.testing.assert_allclose(shares, examples.numpy()[:4], rtol=0.06)
    assert (counts[values == 0] == 0).all()


def test_resampling_keeps_labels_with_their_examples():
    drawn = weights(np.arange(40)).resample(source(40, 8), seed=1)
    for x, y in drawn.take(10):
        np.testing.assert_array_equal(x % 2, y)


def test_draws_follow_the_weights_and_depend_on_the_position_alone():
    values = np.array([1.0, 0, 3, 4])
    examples = weights(values)
    drawn = examples.draw(batch_size=100, seed=3)
    batches = [batch.numpy() for batch in drawn.take(100)]
    shares = np.bincount(np.concatenate(batches), minlength=4) / 10_000
    np.testing.assert_allclose(shares, values / 8, atol=0.02)
    later = examples.draw(batch_size=100, seed=3, start=7)
    np.testing.assert_array_equal(next(iter(later)), batches[7])


def test_diagnostics_by_hand():
    summary = weights([2, 2, 0, 0]).diagnostics(passes=3.0)
    assert summary.ess == pytest.approx(0.5)
    assert summary.largest == pytest.approx(2)
    assert summary.repeats == pytest.approx(6)
    assert summary.entropy == pytest.approx(np.log(2))


def test_a_checkpoint_restores_the_weights(tmp_path):
    examples = weights([1, 2, 3])
    path = tf.train.Checkpoint(examples=examples).save(str(tmp_path / "c"))
    again = tt.ExampleWeights(3)
    tf.train.Checkpoint(examples=again).restore(path).assert_consumed()
    np.testing.assert_array_equal(again.numpy(), examples.numpy())
