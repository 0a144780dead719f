import numpy as np
import pytest

from tf_transfer.data.raw import arrays
from tf_transfer.errors import InputError


@pytest.mark.parametrize("index", [0, 3, 4, 8, np.arange(9), np.array([1, 6])])
def test_joined_arrays_are_indexed_as_one(index):
    whole = np.arange(9 * 4).reshape(9, 2, 2)
    joined = arrays.JoinedArrays([whole[:4], whole[4:4], whole[4:]])
    assert (joined.shape, joined.dtype) == (whole.shape, whole.dtype)
    np.testing.assert_array_equal(joined[index], whole[index])
    np.testing.assert_array_equal(np.asarray(joined), whole)
    with pytest.raises(IndexError):
        joined[9]


def test_only_arrays_in_files_stay_apart(tmp_path):
    part = np.zeros((3, 2, 2), np.uint8)
    part.tofile(tmp_path / "part")
    mapped = np.memmap(tmp_path / "part", np.uint8, "r", shape=(3, 2, 2))
    assert isinstance(arrays.join([part, part]), np.ndarray)
    joined = arrays.join([mapped, part])
    assert isinstance(joined, arrays.JoinedArrays)
    assert joined.parts[0] is mapped


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([2, 0], [2, 0]),
        ([[2], [0]], [2, 0]),
        ([2.0, 0.0], [2, 0]),
        (np.array([2048, 0], np.float16), [2048, 0]),
        ([0.5, 0], None),
        ([-np.inf, 0], None),
        ([[0, 1], [1, 0]], None),
        ([True, False], None),
        ([10**7, 0], None),
        (["a", "b"], None),
    ],
)
def test_class_numbers(labels, expected):
    labels = np.array(labels)
    if expected is None:
        with pytest.raises(InputError, match=r"y must hold.*Received: a\.npz"):
            arrays.class_numbers(labels, "y", "a.npz")
        return
    numbers = arrays.class_numbers(labels, "y", "a.npz")
    assert numbers.tolist() == expected
    assert numbers.dtype.kind == "i"


@pytest.mark.parametrize("shape", [(3,), (3, 4)])
def test_what_are_no_images(shape):
    with pytest.raises(InputError, match=r"x must hold numbers.*a\.npz"):
        arrays.check_images(np.zeros(shape), "x", "a.npz")
    with pytest.raises(InputError, match=r"<U1"):
        arrays.check_images(np.full((2, 3, 3), "a"), "x", "a.npz")
