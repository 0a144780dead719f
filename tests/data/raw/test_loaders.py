import os

import pytest

from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError


@pytest.mark.parametrize(
    "name", ["cats", "npz", "npz:", "glyphs:x", "", "sql:x"]
)
def test_unknown_names(name):
    with pytest.raises(InputError, match="Unknown data set"):
        loaders.load(name)


def test_devices_and_pipes_are_no_data(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    for path in (tmp_path / "a.npz", "/dev/zero"):
        with pytest.raises(InputError, match="regular file is needed"):
            loaders.load(f"npz:{path}")
