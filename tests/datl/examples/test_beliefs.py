import numpy as np
import pytest

from tf_transfer.datl.examples.beliefs import LabelBeliefs
from tf_transfer.errors import InputError


def noisy(count=3000, classes=10, wrong=0.3, seed=0):
    """Features of separate classes; given labels, and the true ones."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    features = rng.normal(size=(count, 12)) + 6 * np.eye(12)[labels]
    moved = rng.random(count) < wrong
    given = (labels + moved * rng.integers(1, classes, count)) % classes
    return features, given, labels


def test_doubts_find_the_wrong_labels_and_suggest_the_right_ones():
    features, given, labels = noisy()
    beliefs, likely = LabelBeliefs(features, given).of_sample
    doubted = likely != given
    assert (doubted == (given != labels)).mean() > 0.97
    assert (likely == labels).mean() > 0.97
    assert beliefs[given == labels].mean() > 0.6
    assert beliefs[given != labels].mean() < 0.1


def test_other_examples_are_judged_alike():
    features, given, labels = noisy()
    beliefs = LabelBeliefs(features[:1500], given[:1500])
    found, likely = beliefs(features[1500:], given[1500:])
    assert found.dtype == np.float32
    assert (likely == labels[1500:]).mean() > 0.97


def test_it_agrees_with_confident_learning_by_hand():
    """The threshold of a class is the mean belief in its own labels."""
    features, given, _ = noisy(400, classes=3)
    beliefs = LabelBeliefs(features, given)
    own, likely = beliefs.of_sample
    for label in range(3):
        assert beliefs.thresholds[label] == pytest.approx(
            own[given == label].mean(), rel=1e-5
        )
    # One at least as sure as is usual for its own label is not doubted, unless
    # another class is more likely.
    sure = own > np.maximum(beliefs.thresholds[given], 0.5)
    np.testing.assert_array_equal(likely[sure], given[sure])


def test_a_class_with_few_examples_is_believed():
    features, given, _ = noisy(300, classes=3)
    given[:2] = 7
    beliefs = LabelBeliefs(features, given)
    own, likely = beliefs.of_sample
    np.testing.assert_array_equal(own[:2], 1)
    np.testing.assert_array_equal(likely[:2], 7)
    own, likely = beliefs(features[:3], np.array([5, 9, given[2]]))
    np.testing.assert_array_equal(own[:2], 1)
    np.testing.assert_array_equal(likely[:2], [5, 9])


def test_without_a_class_of_some_size_all_are_believed():
    own, likely = LabelBeliefs(np.eye(3), np.array([0, 4, 9])).of_sample
    np.testing.assert_array_equal(own, 1)
    np.testing.assert_array_equal(likely, [0, 4, 9])


@pytest.mark.parametrize("label", [-1, 2**40])
def test_labels_that_are_no_class_numbers_are_refused(label):
    with pytest.raises(InputError, match="Labels must lie in"):
        LabelBeliefs(np.eye(3), np.array([0, 1, label]))


def test_features_that_say_nothing_are_believed():
    labels = np.arange(40) % 2
    own, likely = LabelBeliefs(np.ones((40, 3)), labels).of_sample
    np.testing.assert_array_equal(own, 1)
    np.testing.assert_array_equal(likely, labels)


def test_one_class_alone_is_believed():
    beliefs = LabelBeliefs(np.zeros((20, 2)), np.full(20, 3))
    own, likely = beliefs(np.ones((4, 2)), np.full(4, 3))
    np.testing.assert_array_equal(own, 1)
    np.testing.assert_array_equal(likely, 3)
