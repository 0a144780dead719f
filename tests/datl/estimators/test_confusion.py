import numpy as np
import pytest
from scipy.optimize import nnls

from tf_transfer.datl.estimators import confusion
from tf_transfer.errors import InputError

LIKELIHOOD = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
PRIOR = np.array([0.5, 0.3, 0.2])


def matrix_of(likelihood, per_class):
    """Predictions that are sure of a class, in exactly these shares."""
    matrix = confusion.ConfusionMatrix(len(likelihood))
    for label, shares in enumerate(likelihood):
        counts = np.rint(per_class * np.asarray(shares)).astype(int)
        rows = np.eye(len(shares))[np.repeat(np.arange(len(shares)), counts)]
        matrix.add(rows, np.full(len(rows), label))
    return matrix


def test_the_joint_matrix_by_hand():
    joint = matrix_of(LIKELIHOOD, 10).joint(PRIOR)
    np.testing.assert_allclose(joint, LIKELIHOOD.T * PRIOR)


def test_classes_without_images_are_refused_where_the_source_has_them():
    matrix = matrix_of(LIKELIHOOD, 10)
    matrix.counts[2], matrix.sums[:, 2] = 0, 0
    with pytest.raises(InputError, match=r"Received: no images of class 2$"):
        matrix.joint(PRIOR)
    assert not matrix.joint(np.array([0.5, 0.5, 0.0]))[:, 2].any()


@pytest.mark.parametrize(
    ("likelihood", "per_class", "classes"),
    [
        (LIKELIHOOD, 1000, []),
        (0.3 + 0.1 * np.eye(3), 10, [0, 1, 2]),  # too few images
        ([[0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.1, 0.5, 0.4]], 1000, [1, 2]),
        ([[0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.1, 0.49, 0.41]], 1000, [1, 2]),
        ([[0.5, 0.3, 0.2]] * 3, 1000, [0, 1, 2]),
    ],
)
def test_classes_that_are_not_told_apart(likelihood, per_class, classes):
    uncertain = matrix_of(likelihood, per_class).uncertain(PRIOR)
    assert set(uncertain) <= set(classes)
    assert bool(len(uncertain)) == bool(classes)


def test_a_regular_system_is_solved_as_by_scipy():
    joint, mean = LIKELIHOOD.T * PRIOR, np.array([0.2, 0.3, 0.5])
    weights, _ = nnls(joint, mean)
    solver = confusion.PriorSolver(joint, PRIOR)
    assert not solver.singular
    expected = weights * PRIOR / (weights * PRIOR).sum()
    np.testing.assert_array_equal(solver.solve(mean), expected)


def test_twins_share_their_sum_in_proportion_to_the_source():
    likelihood = np.array([[0.9, 0.05, 0.05], [0.2, 0.4, 0.4], [0.2, 0.4, 0.4]])
    solver = confusion.PriorSolver(likelihood.T * PRIOR, PRIOR)
    assert solver.singular
    truth = np.array([0.2, 0.1, 0.7])
    prior = solver.solve(likelihood.T @ truth)
    np.testing.assert_allclose(prior, [0.2, 0.48, 0.32], atol=1e-4)
    near = solver.solve(likelihood.T @ truth, np.array([0.2, 0.4, 0.4]))
    np.testing.assert_allclose(near, [0.2, 0.4, 0.4], atol=1e-4)


def test_a_class_without_share_in_the_source_has_none_in_the_target():
    prior = np.array([0.5, 0.5, 0.0])
    solver = confusion.PriorSolver(LIKELIHOOD.T * prior, prior)
    assert not solver.singular
    mean = LIKELIHOOD.T @ [0.25, 0.75, 0]
    np.testing.assert_allclose(solver.solve(mean), [0.25, 0.75, 0])


def test_draws_of_many_classes_move_the_prediction_as_their_matrix_does():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [4, 7, 5]))
    rows = rng.dirichlet(np.ones(3), len(labels)).astype(np.float32)
    matrix = confusion.ConfusionMatrix(3)
    matrix.add(rows, labels)
    joint, weights = matrix.joint(PRIOR), np.array([0.2, 1.5, 2.0])
    solver = confusion.PriorSolver(joint, PRIOR)
    kept = labels < 2  # of class 2, no row is in the sample
    for sample in (slice(None), kept):
        resampled = confusion.Resampled(
            matrix, rows[sample], labels[sample], PRIOR, solver, weights
        )
        drawn = resampled._start  # the first row of each class, for all
        expected = (joint - resampled._drawn(drawn)) @ weights
        assert np.abs(expected).max() > 0.01
        found = resampled._errors([drawn, drawn])
        np.testing.assert_allclose(found, [expected, expected], atol=1e-6)


def test_names_of_classes():
    assert confusion.name_classes(np.array([3])) == "class 3"
    names = confusion.name_classes(np.arange(12), most=2)
    assert names == "classes 0, 1 and 10 more"
