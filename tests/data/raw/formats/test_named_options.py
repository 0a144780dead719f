import pytest

from tf_transfer.data.raw.formats import named_options
from tf_transfer.errors import InputError


def test_commas_elsewhere_belong_to_the_path_or_the_value():
    name = "a,b=c.csv,label=x,y,path=z"
    assert named_options.parse(name, ["path", "label"]) == (
        "a,b=c.csv",
        {"label": "x,y", "path": "z"},
    )


@pytest.mark.parametrize("name", ["a,label=x,label=y", "a,label="])
def test_an_option_is_given_once_with_a_value(name):
    with pytest.raises(InputError, match=r"given once, with a value; there"):
        named_options.parse(name, ["label"])
