"""What a value of a setting must be."""

import pytest

from tf_transfer import rules


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (rules.positive, 2e-12, 0),
        (rules.not_negative, 0, -1),
        (rules.at_least(2), 2, 1),
        (rules.between(1, 9), 9, 10),
        (rules.fraction, 1.0, 0),
        (rules.share, 0.5, 1),
        (rules.positive_numbers, (0.1, 2.0), (0.1, 0)),
        (rules.positive_numbers, (), (-1,)),
        (rules.one_of("a", "b"), "b", "c"),
    ],
)
def test_a_rule_holds_or_not(rule, good, bad):
    assert rule.holds(good)
    assert not rule.holds(bad)
