import pytest

from tf_transfer.errors import InputError
from tf_transfer.l2tl.credits import lookup


@pytest.mark.parametrize("name", sorted(lookup.CREDITS))
def test_config_round_trip(name):
    credit = lookup.get(name)
    again = type(credit).from_config(credit.get_config())
    assert again.get_config() == credit.get_config()
    assert lookup.get(again) is again


def test_refuses_an_unknown_name():
    with pytest.raises(InputError, match="`credit` must be one of feature"):
        lookup.get("shapley")
