import pytest

from tests.experiment.records.test_run_data import INFO
from tf_transfer.errors import InputError
from tf_transfer.experiment.records.data_info import DataInfo


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("source", 3, "`data.source` must be a string"),
        ("class_names", ["a", 3], "`data.class_names` must be a list of str"),
        ("class_names", [], "`data.class_names` must be a list of strings"),
        ("image_shape", [8, 8], "`data.image_shape` must be three"),
        ("image_shape", [8, 8, 0], "`data.image_shape` must be three"),
        ("image_shape", [8, 10**9, 1], "`data.image_shape` must be three"),
        ("frame", 3, "`data.frame` must be an object"),
        ("frame", {}, "`data.frame.appearance` must be an object"),
        (
            "frame",
            INFO["frame"] | {"appearance": {"maximum": "16"}},
            "`data.frame.appearance.maximum` must be a number from",
        ),
        ("frame", INFO["frame"] | {"size": "8"}, "`data.frame.size` must be"),
    ],
)
def test_refuses_data_that_do_not_fit(key, value, message):
    with pytest.raises(InputError, match=rf"{message}.*Received: "):
        DataInfo.from_json(INFO | {key: value})
    with pytest.raises(InputError, match=rf"`data\.{key}` must be"):
        DataInfo.from_json({k: v for k, v in INFO.items() if k != key})
