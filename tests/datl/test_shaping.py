import numpy as np
import pytest

from tf_transfer.datl import shaping
from tf_transfer.errors import InputError


def test_importance_weights_by_hand():
    weights = shaping.importance_weights(
        np.array([0.5, 0.3, 0.2]), np.array([0.25, 0.25, 0.5])
    )
    np.testing.assert_allclose(weights, [2.0, 1.2, 0.4])


def test_twice_as_frequent_in_the_target_gets_twice_the_weight():
    target = np.array([2.0, 1.0, 1.0]) / 4
    weights = shaping.importance_weights(target, np.full(3, 1 / 3))
    assert weights[0] == pytest.approx(2 * weights[1])


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
    weights = shaping.importance_weights(
        np.array([0.5, 0.3, 0.2]), prior, **settings
    )
    expected = np.array(expected) / (np.array(expected) @ prior)
    np.testing.assert_allclose(weights, expected)
    assert weights @ prior == pytest.approx(1)


def test_top_k_keeps_the_largest_ratio_of_weights_clipped_alike():
    weights = shaping.importance_weights(
        np.array([0.1, 0.6, 0.3]), np.full(3, 1 / 3), clip=0.2, top_k=1
    )
    np.testing.assert_allclose(weights, [0, 3, 0])


@pytest.mark.parametrize(
    ("target", "settings", "expected"),
    [
        ([0.4, 0.4, 0.2], {"floor": 0.1}, [1, 1, 0]),
        ([0.6, 0.4, 0.0], {"reverse": True}, [0.8, 1.2, 0]),
    ],
)
def test_class_without_examples_gets_weight_zero(target, settings, expected):
    weights = shaping.importance_weights(target, [0.5, 0.5, 0.0], **settings)
    np.testing.assert_allclose(weights, expected)


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


TARGET, SOURCE = np.array([0.6, 0.2, 0.1, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        # Ratios 6, 1, 1/3, 1/4; the first takes .2, the others share .8 of .4.
        (2, [2, 2, 2 / 3, 1 / 2]),
        # .7 of .4: 7/4 as much as before.
        (3, [3, 7 / 4, 7 / 12, 7 / 16]),
        (10, [6, 1, 1 / 3, 1 / 4]),
        (1, [1, 1, 1, 1]),
        (0.5, [1, 1, 1, 1]),
    ],
)
def test_what_is_above_the_largest_weight_goes_to_the_others(most, expected):
    weights = shaping.importance_weights(TARGET, SOURCE, most=most)
    np.testing.assert_allclose(weights, expected)
    assert weights @ SOURCE == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"most": 2}, [2, 2, 4 / 3, 0]),
        ({"most": 4}, [4, 3, 0, 0]),
        ({"most": 20}, [10, 0, 0, 0]),
        ({"most": 0.5}, [1, 1, 1, 1]),
        ({"most": 2, "reverse": True}, [0, 0, 2 / 3, 2]),
        ({"most": 2, "top_k": 2}, [10 / 3, 10 / 3, 0, 0]),
    ],
)
def test_a_cut_gives_the_best_classes_the_largest_weight(settings, expected):
    weights = shaping.importance_weights(
        TARGET, SOURCE, temper=np.inf, **settings
    )
    np.testing.assert_allclose(weights, expected)
    assert weights @ SOURCE == pytest.approx(1)


def test_a_cut_is_the_limit_of_a_large_exponent():
    target = 2.0 ** np.arange(12)
    source = np.random.default_rng(0).dirichlet(np.full(12, 9.0))
    target *= source
    near, limit = (
        shaping.importance_weights(
            target / target.sum(), source, temper=temper, most=4.0
        )
        for temper in (50.0, np.inf)
    )
    np.testing.assert_allclose(near, limit, atol=1e-6)


def test_too_few_classes_with_a_weight_share_all():
    weights = shaping.importance_weights([0.9, 0.1, 0.0, 0.0], SOURCE, most=2.0)
    np.testing.assert_allclose(weights, [10 / 3, 10 / 3, 0, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"most": 0.0}, "`most` must be positive"),
        ({"temper": np.inf}, "needs `most`"),
    ],
)
def test_refuses_a_largest_weight(settings, message):
    with pytest.raises(InputError, match=message):
        shaping.importance_weights(TARGET, SOURCE, **settings)


@pytest.mark.parametrize(
    ("target", "settings", "expected"),
    [
        ([0.4, 0.3, 0.2, 0.1], {"top_k": 1}, [0, 0, 0, 4]),
        ([0.3, 0.4, 0.1, 0.2], {"top_k": 1}, [0, 0, 4, 0]),
        ([0.4, 0.3, 0.2, 0.1], {"clip": 1.0}, None),
    ],
)
def test_reversed_weights_that_are_equal_go_by_their_ratios(
    target, settings, expected
):
    weights = shaping.importance_weights(
        target, [0.25] * 4, reverse=True, **settings
    )
    order = np.argsort(target)
    assert (np.diff(weights[order]) <= 1e-12).all()
    if expected:
        np.testing.assert_allclose(weights, expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"temper": 51.0},
        {"temper": -np.inf},
        {"floor": np.inf},
        {"temper": np.inf, "most": np.inf},
        {"top_k": 2.5},
        {"top_k": 0},
    ],
)
def test_settings_that_would_fail_later_are_refused(settings):
    with pytest.raises(InputError, match=f"Received: .*{list(settings)[-1]}"):
        shaping.importance_weights(TARGET, SOURCE, **settings)


@pytest.mark.parametrize(
    ("settings", "strength", "expected"),
    [
        ({}, 0.0, [1, 1, 1, 1]),
        ({}, 1.0, [1.6, 0.8, 0.8, 0.8]),
        # 4**.5 = 2 to 1; then the mean of 2, 1, 1 and 1 is 1.25.
        ({"temper": 4.0}, 0.125, [2**0.5 / 1.1035534, *[1 / 1.1035534] * 3]),
        # 4**.5 = 2: the two best of four classes.
        ({"temper": np.inf, "most": 4.0}, 0.5, [2, 2, 0, 0]),
        ({"temper": np.inf, "most": 4.0}, 0.0, [1, 1, 1, 1]),
        ({"temper": np.inf, "most": 4.0}, 1.0, [4, 0, 0, 0]),
    ],
)
def test_softened_weights_lie_between_equal_and_full(
    settings, strength, expected
):
    settings = {"temper": 1.0, "most": None} | settings
    weights = shaping.importance_weights(
        np.array([0.4, 0.2, 0.2, 0.2]),
        np.full(4, 0.25),
        **shaping.softened(settings, strength),
    )
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize("strength", [-0.1, 1.1, np.nan])
def test_a_strength_is_a_share(strength):
    with pytest.raises(InputError, match="from 0 to 1"):
        shaping.softened({"temper": 1.0, "most": None}, strength)
