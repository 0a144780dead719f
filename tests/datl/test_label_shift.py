import numpy as np
import pytest

from tf_transfer.datl import label_shift, shaping
from tf_transfer.errors import InputError
from tf_transfer.utils import weighting


def test_source_prior_by_hand():
    prior = weighting.source_prior(np.array([0, 0, 1, 2]), 3)
    np.testing.assert_allclose(prior, [0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 3]), r"lie in \[0, 3\). Received: label 3"),
        (np.array([-1, 0]), r"lie in \[0, 3\). Received: label -1"),
        (np.array([], int), "no labels"),
        (np.eye(3), "must be integers"),
    ],
)
def test_source_prior_refuses(labels, message):
    with pytest.raises(InputError, match=message):
        weighting.source_prior(labels, 3)


def test_softmax_by_hand_and_softened():
    logits = np.log([[1.0, 3.0]])
    np.testing.assert_allclose(label_shift.softmax(logits), [[0.25, 0.75]])
    root = np.sqrt(3)
    softened = [[1 / (1 + root), root / (1 + root)]]
    np.testing.assert_allclose(label_shift.softmax(logits, 2.0), softened)


def test_softmax_has_the_precision_of_the_logits():
    logits = np.random.default_rng(0).normal(size=(20, 50)) * 5
    double = label_shift.softmax(logits)
    single = label_shift.softmax(logits.astype(np.float32))
    assert double.dtype == np.float64
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-5)
    assert label_shift.softmax(logits.astype(np.float16)).dtype == np.float32
    assert label_shift.softmax([[0, 0]]).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_softmax_refuses_a_temperature(temperature):
    with pytest.raises(InputError, match="`temperature` must be positive"):
        label_shift.softmax(np.zeros((1, 2)), temperature)


def test_importance_weights_by_hand():
    found = shaping.importance_weights(
        np.array([0.5, 0.3, 0.2]), np.array([0.25, 0.25, 0.5])
    )
    np.testing.assert_allclose(found, [2.0, 1.2, 0.4])


def test_twice_as_frequent_in_the_target_gets_twice_the_weight():
    target = np.array([2.0, 1.0, 1.0]) / 4
    found = shaping.importance_weights(target, np.full(3, 1 / 3))
    assert found[0] == pytest.approx(2 * found[1])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"temper": 0.0}, [1, 1, 1]),
        ({"temper": 2.0}, [4 / 1.44, 1.44 / 1.44, 0.16 / 1.44]),
        ({"clip": 1.0}, [1.0, 1.0, 0.4]),
        ({"temper": 2.0, "clip": 1.5}, [1.5, 1.44, 0.16]),
        ({"floor": 0.8}, [2.0, 1.2, 0.8]),
        ({"clip": 0.8, "floor": 0.8}, [1, 1, 1]),
        ({"top_k": 1}, [2.0, 0, 0]),
        ({"temper": 0.0, "top_k": 2}, [1.0, 1.0, 0]),
        ({"reverse": True}, [0.4, 1.2, 2.0]),
    ],
)
def test_shaping_keeps_mean_one(settings, expected):
    prior = np.array([0.25, 0.25, 0.5])
    found = shaping.importance_weights(
        np.array([0.5, 0.3, 0.2]), prior, **settings
    )
    expected = np.array(expected) / (np.array(expected) @ prior)
    np.testing.assert_allclose(found, expected)
    assert found @ prior == pytest.approx(1)


def test_top_k_keeps_the_largest_ratio_of_weights_clipped_alike():
    found = shaping.importance_weights(
        np.array([0.1, 0.6, 0.3]), np.full(3, 1 / 3), clip=0.2, top_k=1
    )
    np.testing.assert_allclose(found, [0, 3, 0])


@pytest.mark.parametrize(
    ("target", "settings", "expected"),
    [
        ([0.4, 0.4, 0.2], {"floor": 0.1}, [1, 1, 0]),
        ([0.6, 0.4, 0.0], {"reverse": True}, [0.8, 1.2, 0]),
    ],
)
def test_class_without_examples_gets_weight_zero(target, settings, expected):
    found = shaping.importance_weights(target, [0.5, 0.5, 0.0], **settings)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"temper": -1},
        {"floor": -0.1},
        {"clip": 0.0},
        {"clip": 0.5, "floor": 1.0},
        {"top_k": 0},
    ],
)
def test_shaping_refuses(settings):
    prior = np.full(2, 0.5)
    with pytest.raises(InputError, match="Received: "):
        shaping.importance_weights(prior, prior, **settings)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "must have length 2"),
        ([1.0, -1.0], "not negative. Received: -1.0"),
        ([np.nan, 1.0], "finite"),
        ([0.0, 0.0], "must not all be zero"),
    ],
)
def test_normalise_refuses(values, message):
    with pytest.raises(InputError, match=message):
        weighting.normalise(np.array(values), np.full(2, 0.5))


def shifted_predictions(target_prior, n=4000, noise=0.35, seed=0):
    """Calibrated source predictions for examples with target labels."""
    rng = np.random.default_rng(seed)
    classes = len(target_prior)
    source_prior = np.full(classes, 1 / classes)
    confusion = (1 - noise) * np.eye(classes) + noise / classes
    labels = rng.choice(classes, n, p=target_prior)
    seen = np.array([rng.choice(classes, p=confusion[y]) for y in labels])
    posterior = confusion * source_prior[:, None]
    posterior /= posterior.sum(axis=0)
    return posterior.T[seen], posterior.T @ confusion.T, source_prior


def test_em_and_bbse_recover_a_known_shift_that_the_mean_does_not():
    truth = np.array([0.6, 0.3, 0.1])
    rows, confusion, prior = shifted_predictions(truth)
    mean = label_shift.mean_prior(rows)
    em = label_shift.em_prior(rows, prior)
    bbse = label_shift.bbse_prior(mean, confusion * prior, prior)
    assert np.abs(mean - truth).max() > 0.08
    np.testing.assert_allclose(em, truth, atol=0.03)
    np.testing.assert_allclose(bbse, truth, atol=0.03)


def test_em_and_bbse_undo_an_uneven_source_prior_by_hand():
    seen = np.array([[0.9, 0.1], [0.2, 0.8]])  # P(x | y), rows y
    prior, truth = np.array([0.8, 0.2]), np.array([0.3, 0.7])
    joint = (seen * prior[:, None]).T
    posterior = joint / joint.sum(axis=1, keepdims=True)
    # P_t(x): .3 * .9 + .7 * .2 = .41 and .3 * .1 + .7 * .8 = .59.
    rows = np.repeat(posterior, [41, 59], axis=0)
    em = label_shift.em_prior(rows, prior, iterations=5000, tolerance=1e-12)
    np.testing.assert_allclose(em, truth, atol=1e-6)
    bbse = label_shift.bbse_prior([0.41, 0.59], joint, prior)
    np.testing.assert_allclose(bbse, truth)


def test_em_leaves_out_a_class_without_examples():
    rows = np.array([[0.7, 0.2, 0.1]] * 3 + [[0.2, 0.7, 0.1]])
    found = label_shift.em_prior(rows, [0.6, 0.4, 0.0])
    two = label_shift.em_prior(rows[:, :2], [0.6, 0.4])
    np.testing.assert_allclose(found, [*two, 0])


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[0.5, 0.5, 0.0]], r"shape \[N, 2\]. Received: shape \(1, 3\)"),
        ([[2.0, -1.0]], "logits are.*Received: smallest -1"),
        (np.zeros((0, 2)), r"one image at least. Received: shape \(0, 2\)"),
        ([[np.inf, 0.0]], "must be finite"),
        ([[np.nan, 1.0]], "must be finite"),
        ([[0.5, 0.5], [0.0, 0.0]], "nor 0 for all classes"),
    ],
)
def test_em_refuses(probabilities, message):
    with pytest.raises(InputError, match=message):
        label_shift.em_prior(np.array(probabilities), [0.5, 0.5])


@pytest.mark.parametrize(
    ("confusion", "prior", "message"),
    [
        (np.eye(2), [5, 5], "not counts"),
        (np.eye(3), [0.5, 0.5], r"shape \[2, 2\]"),
        (np.zeros((2, 2)), [0.5, 0.5], "No source classes explain"),
    ],
)
def test_bbse_refuses(confusion, prior, message):
    with pytest.raises(InputError, match=message):
        label_shift.bbse_prior([0.7, 0.3], confusion, prior)


def test_calibration_recovers_the_temperature():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(5000, 4))
    chance = label_shift.softmax(logits)
    labels = (chance.cumsum(axis=1) > rng.random((5000, 1))).argmax(axis=1)
    assert label_shift.calibration_temperature(
        3 * logits, labels
    ) == pytest.approx(3, rel=0.1)
