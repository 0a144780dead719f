import numpy as np
import pytest

from tf_transfer.datl.examples.beliefs import LabelBeliefs
from tf_transfer.errors import InputError


def noisy(count=3000, classes=10, wrong=0.3, apart=6.0, seed=0):
    """Features of classes; given labels, and the true ones."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    features = rng.normal(size=(count, 12)) + apart * np.eye(12)[labels]
    moved = rng.random(count) < wrong
    given = (labels + moved * rng.integers(1, classes, count)) % classes
    return features, given, labels


def test_doubts_find_the_wrong_labels_and_suggest_the_right_ones():
    features, given, labels = noisy()
    beliefs, likely = LabelBeliefs(features, given).of_sample
    doubted = likely != given
    assert (doubted == (given != labels)).mean() > 0.98
    assert (likely == labels).mean() > 0.97
    assert beliefs[given == labels].mean() > 0.97
    assert beliefs[given != labels].mean() < 0.05


@pytest.mark.parametrize("apart", [2.0, 6.0])
@pytest.mark.parametrize("wrong", [0.0, 0.2, 0.5])
def test_the_share_of_wrong_labels_is_known(wrong, apart):
    """Also where features tell classes badly; chance may draw the right one."""
    features, given, _ = noisy(wrong=wrong, apart=apart, seed=1)
    beliefs = LabelBeliefs(features, given)
    assert beliefs.chance.sum() == pytest.approx(wrong / 0.9, abs=0.04)
    own, _ = beliefs.of_sample
    assert 1 - own.mean() == pytest.approx(wrong, abs=0.04)


def test_hard_images_are_believed():
    """A weak classifier's errors are no errors of the labels."""
    features, given, labels = noisy(wrong=0.0, apart=1.5)
    beliefs = LabelBeliefs(features, given)
    _, likely = beliefs.of_sample
    weights, offsets = beliefs._linear
    scores = features @ weights + offsets
    assert (scores.argmax(axis=1) != labels).mean() > 0.3
    assert (likely != given).mean() < 0.01


@pytest.mark.parametrize("spread", [1.5, 2.0])
def test_a_source_of_easy_and_hard_images_is_believed(spread):
    """One temperature fits neither; chance would explain the hard ones."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 5000)
    scale = np.where(rng.random(5000) < 0.7, 1.0, spread)[:, None]
    features = scale * rng.normal(size=(5000, 12)) + 4 * np.eye(12)[labels]
    own, _ = LabelBeliefs(features, labels).of_sample
    assert own.min() > 0.5
    assert own.mean() > 0.998


@pytest.mark.parametrize("shares", [[0.1] * 10, [0.55] + [0.05] * 9])
@pytest.mark.parametrize("apart", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("count", [300, 3000])
def test_a_weak_classifier_is_no_evidence_of_wrong_labels(count, apart, shares):
    """Also one that knows nothing, with unequal classes, of few images."""
    rng = np.random.default_rng(count)
    labels = rng.choice(10, count, p=shares)
    features = rng.normal(size=(count, 12)) + apart * np.eye(12)[labels]
    beliefs = LabelBeliefs(features, labels)
    assert beliefs.chance.sum() < 0.02
    own, likely = beliefs.of_sample
    assert own.min() > 0.3
    np.testing.assert_array_equal(likely, labels)


def test_two_classes_that_look_alike_are_believed():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    own, _ = LabelBeliefs(rng.normal(size=(300, 16)), labels).of_sample
    np.testing.assert_array_equal(own, 1)


def test_classes_of_one_point_each_are_believed():
    labels = np.arange(60) % 3
    own, _ = LabelBeliefs(np.eye(3)[labels], labels).of_sample
    np.testing.assert_array_equal(own, 1)


def test_it_is_the_mixture_by_hand():
    """Bayes' rule for two classes of one feature with known densities."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 20_000)
    features = rng.normal(3.0 * labels, 1.0)[:, None]
    given = np.where(rng.random(20_000) < 0.1, 1 - labels, labels)
    beliefs = LabelBeliefs(features, given)
    # A tenth is flipped, so a fifth is drawn by chance.
    assert beliefs.chance.sum() == pytest.approx(0.2, abs=0.03)
    places = np.array([[-1.0], [1.0], [2.5], [4.0]])
    for label, sign in ((0, -1), (1, 1)):
        own, _ = beliefs(places, np.full(4, label))
        right = 1 / (1 + np.exp(-sign * 3.0 * (places[:, 0] - 1.5)))
        expected = 0.9 * right / (0.8 * right + 0.2 * 0.5)
        np.testing.assert_allclose(own, expected, atol=0.06)


def test_other_examples_are_judged_alike():
    features, given, labels = noisy()
    beliefs = LabelBeliefs(features[:1500], given[:1500])
    found, likely = beliefs(features[1500:], given[1500:])
    assert found.dtype == np.float32
    assert likely.dtype == np.int32
    assert (likely == labels[1500:]).mean() > 0.97


@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_with_few_examples_is_believed(classes):
    features, given, _ = noisy(300, classes=classes)
    given[:2] = 7
    beliefs = LabelBeliefs(features, given)
    own, likely = beliefs.of_sample
    np.testing.assert_array_equal(own[:2], 1)
    np.testing.assert_array_equal(likely[:2], 7)
    own, likely = beliefs(features[:3], np.array([5, 9, given[2]]))
    np.testing.assert_array_equal(own[:2], 1)
    np.testing.assert_array_equal(likely[:2], [5, 9])


def test_without_a_class_of_some_size_all_are_believed():
    beliefs = LabelBeliefs(np.eye(3), np.array([0, 4, 9]))
    for own, likely in (
        beliefs.of_sample,
        beliefs(np.eye(3), np.array([0, 4, 9])),
    ):
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
