import numpy as np
import pytest

from tf_transfer.datl.estimators import lift

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4000, 6))


def test_lifts_by_hand():
    """Of four source images with outputs 1 to 4, 3.5 lies above three."""
    rows = np.array([[c, -c] for c in (1.0, 2.0, 3.0, 4.0)])
    # Two classes only: brought to variance 1, all images are alike.
    outputs = lift.SourceOutputs(rows)
    np.testing.assert_allclose(outputs.lifts(rows[:1]), 40 * 0.5**39)
    three = np.array([[c, 1 - c, 0.0] for c in (0.1, 0.2, 0.3, 0.4)])
    scaled = three - three.mean(axis=1, keepdims=True)
    scaled /= scaled.std(axis=1, keepdims=True)
    target = np.array([[0.35, 0.65, 0.0]])
    below = np.array([(scaled[:, c] < _z(target)[c]).mean() for c in range(3)])
    np.testing.assert_allclose(
        lift.SourceOutputs(three).lifts(target)[0], 40 * below**39
    )


def _z(rows):
    return ((rows - rows.mean()) / rows.std())[0]


def test_source_images_have_the_mean_one():
    lifts = lift.SourceOutputs(LOGITS).lifts(LOGITS)
    np.testing.assert_allclose(lifts.mean(axis=0), 1, atol=0.02)


def test_confidence_and_offset_of_an_image_do_not_matter():
    outputs = lift.SourceOutputs(LOGITS)
    np.testing.assert_allclose(
        outputs.lifts(LOGITS[:9]), outputs.lifts(4 * LOGITS[:9] + 8)
    )


def test_the_prior_is_that_of_the_source_times_the_lift():
    source = np.array([0.5, 0.3, 0.2])
    lifts = np.array([[0.0, 2.0, 1.0], [1.0, 2.0, 0.0]])
    expected = np.array([0.25, 0.6, 0.1]) / 0.95
    np.testing.assert_allclose(lift.lift_prior(lifts, source), expected)
    nothing = lift.lift_prior(np.zeros((2, 3)), source)
    assert nothing.tolist() == pytest.approx(source)


def test_outputs_that_are_all_equal():
    equal = np.ones((5, 4))
    lifts = lift.SourceOutputs(equal).lifts(equal)
    np.testing.assert_allclose(lifts, 40 * 0.5**39)
