import numpy as np
import pytest

from tf_transfer.datl.examples.density_ratio import DensityRatio


def normal(mean, count, seed=0, width=3):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width))
    features[:, 0] += mean
    return features


def test_target_like_features_get_large_ratios_and_not_the_inverse():
    ratio = DensityRatio(normal(0, 2000), normal(1, 2000, seed=1))
    inside, outside = ratio(np.array([[2.0, 0, 0], [-1.0, 0, 0]]))
    assert inside == pytest.approx(np.exp(1.5), rel=0.25)
    assert outside == pytest.approx(np.exp(-1.5), rel=0.25)


def test_the_sizes_of_source_and_target_do_not_matter():
    few = DensityRatio(normal(0, 4000), normal(1, 400, seed=1))
    many = DensityRatio(normal(0, 4000), normal(1, 4000, seed=2))
    points = normal(0, 50, seed=3)
    np.testing.assert_allclose(
        np.log(few(points)), np.log(many(points)), atol=0.5
    )


def test_a_sample_is_scored_by_fits_without_it():
    """With noise alone, features of the sample would look like source."""
    source, target = normal(0, 60, width=40), normal(0, 60, 1, width=40)
    ratio = DensityRatio(source, target)
    assert abs(np.log(ratio.of_sample).mean()) < 0.3


def test_separable_features_give_finite_ratios():
    ratio = DensityRatio(normal(0, 100), normal(1e6, 2, seed=1))
    found = ratio(np.array([[1e9, 0, 0], [-1e9, 0, 0]]))
    assert np.isfinite(found).all()
    assert found[0] > 1 > found[1] >= 0


def test_constant_features_are_ignored():
    source, target = normal(0, 300), normal(1, 300, seed=1)
    source[:, 1] = target[:, 1] = 7.0
    ratio = DensityRatio(source, target)
    assert np.isfinite(ratio.of_sample).all()
