import numpy as np
import pytest

from tf_transfer.errors import InputError
from tf_transfer.utils.storage.json_fields import Fields

CONTENT = {
    "text": "a",
    "number": 0.5,
    "integer": 3,
    "texts": ["a", "b"],
    "numbers": [1, 0.5],
    "object": {"inner": 1},
}


def test_returns_what_fits():
    fields = Fields(CONTENT)
    for name in ("text", "number", "integer", "texts", "numbers"):
        assert getattr(fields, name)(name) == CONTENT[name]
    assert fields.object("object").integer("inner") == 1
    assert fields.number("integer") == 3


def test_a_default_stands_for_an_absent_field_alone():
    fields = Fields({"number": None})
    assert fields.number("absent", None) is None
    assert fields.object("absent", {}).content == {}
    with pytest.raises(InputError, match="`number` must be a finite number"):
        fields.number("number", None)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", (None, 3, ["a"])),
        ("number", (None, "3", True, np.nan, np.inf, [1.0])),
        ("integer", (None, "3", True, 3.0, -1)),
        ("texts", (None, "a", [], ["a", 3])),
        ("numbers", (None, 3, [], [1, None], [np.nan])),
        ("object", (None, [], "a")),
    ],
)
def test_refuses_what_does_not_fit_and_names_it(kind, values):
    for value in values:
        fields = Fields({"x": value}, "outer", "some/file.json")
        with pytest.raises(
            InputError,
            match=r"^`outer\.x` must be .*\. Received: .* in some/file\.json$",
        ):
            getattr(fields, kind)("x")
    with pytest.raises(InputError, match=r"^`x` must be .* Received: None$"):
        getattr(Fields({}), kind)("x")


def test_refuses_what_is_no_object_and_shortens_it():
    with pytest.raises(InputError, match=r"`data` must be an object") as error:
        Fields(["long"] * 1000, "data")
    assert len(str(error.value)) < 200
