import numpy as np
import pytest
import threadpoolctl

from tf_transfer.datl.estimators import label_shift
from tf_transfer.errors import InputError


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


def shifted_predictions(target_prior, n=4000, noise=0.35, seed=0):
    """Calibrated source predictions for examples with target labels."""
    rng = np.random.default_rng(seed)
    classes = len(target_prior)
    source_prior = np.full(classes, 1 / classes)
    confusion = (1 - noise) * np.eye(classes) + noise / classes
    labels = rng.choice(classes, n, p=target_prior)
    signals = np.array([rng.choice(classes, p=confusion[y]) for y in labels])
    posterior = confusion * source_prior[:, None]
    posterior /= posterior.sum(axis=0)
    return posterior.T[signals], posterior.T @ confusion.T, source_prior


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
    likelihood = np.array([[0.9, 0.1], [0.2, 0.8]])  # P(x | y), rows y
    prior, truth = np.array([0.8, 0.2]), np.array([0.3, 0.7])
    joint = (likelihood * prior[:, None]).T
    posterior = joint / joint.sum(axis=1, keepdims=True)
    # P_t(x): .3 * .9 + .7 * .2 = .41 and .3 * .1 + .7 * .8 = .59.
    rows = np.repeat(posterior, [41, 59], axis=0)
    em = label_shift.em_prior(rows, prior, iterations=5000, tolerance=1e-12)
    np.testing.assert_allclose(em, truth, atol=1e-6)
    bbse = label_shift.bbse_prior([0.41, 0.59], joint, prior)
    np.testing.assert_allclose(bbse, truth)


def plain_em(rows, prior, steps):
    """The paper's formulas (Saerens et al. 2002), one step after another."""
    found = prior
    for _ in range(steps):
        posterior = rows * found / prior
        posterior /= posterior.sum(axis=1, keepdims=True)
        found = posterior.mean(axis=0)
    return found


def test_extrapolated_em_ends_where_plain_em_creeps_to():
    rng = np.random.default_rng(0)
    prior = np.full(20, 0.05)
    labels = rng.choice(20, 3000, p=rng.dirichlet(np.ones(20)))
    rows = label_shift.softmax(
        rng.normal(size=(3000, 20)) + 2 * np.eye(20)[labels]
    )
    found = label_shift.em_prior(rows, prior)
    far = plain_em(rows, prior, 20_000)
    near = plain_em(rows, prior, 200)
    assert np.abs(found - far).max() < 2e-4
    assert np.abs(found - far).max() < np.abs(near - far).max()


def test_em_leaves_out_a_class_without_examples():
    rows = np.array([[0.7, 0.2, 0.1]] * 3 + [[0.2, 0.7, 0.1]])
    three = label_shift.em_prior(rows, [0.6, 0.4, 0.0])
    two = label_shift.em_prior(rows[:, :2], [0.6, 0.4])
    np.testing.assert_allclose(three, [*two, 0])


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[0.5, 0.5, 0.0]], r"shape \[N, 2\]. Received: shape \(1, 3\)"),
        ([[2.0, -1.0]], "are they logits.*Received: smallest -1"),
        (np.zeros((0, 2)), r"at least one row. Received: shape \(0, 2\)"),
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
        (np.full((2, 2), np.nan), [0.5, 0.5], "must be finite"),
    ],
)
def test_bbse_refuses(confusion, prior, message):
    with pytest.raises(InputError, match=message):
        label_shift.bbse_prior([0.7, 0.3], confusion, prior)


def test_calibration_recovers_the_temperature():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(5000, 4))
    probabilities = label_shift.softmax(logits)
    labels = (probabilities.cumsum(axis=1) > rng.random((5000, 1))).argmax(
        axis=1
    )
    assert label_shift.calibration_temperature(
        3 * logits, labels
    ) == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("right", [True, False])
def test_a_temperature_at_the_end_of_its_range_is_warned_of(right):
    labels = np.arange(300) % 3
    logits = 5 * np.eye(3)[labels if right else (labels + 1) % 3]
    with pytest.warns(UserWarning, match="no best temperature"):
        temperature = label_shift.calibration_temperature(logits, labels)
    assert temperature < 1 if right else temperature > 19


def test_bbse_keeps_blas_on_one_thread(monkeypatch):
    seen = []

    def solve(*arguments):
        blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
        seen.extend(each["num_threads"] for each in blas.info())
        return solver(*arguments)

    solver = label_shift.PriorSolver.solve
    monkeypatch.setattr(label_shift.PriorSolver, "solve", solve)
    label_shift.bbse_prior(np.ones(2) / 2, np.eye(2) / 2, np.ones(2) / 2)
    assert set(seen) == {1}
