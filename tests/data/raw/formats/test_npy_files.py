import numpy as np
import pytest

from tests import helpers
from tf_transfer.data import loading, unlabelled
from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError

DATA = helpers.blobs(per_class=5)


@pytest.fixture
def name(tmp_path):
    np.save(tmp_path / "all.npy", DATA.images)
    np.save(tmp_path / "all_labels.npy", DATA.labels[:, None])
    np.save(tmp_path / "others.npy", 3 - DATA.labels)
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\n")
    return f"npy:{tmp_path}/all.npy"


def test_images_stay_in_the_file_until_they_are_read(name, tmp_path):
    raw = loaders.load(name)
    assert isinstance(raw.images, np.memmap)
    np.testing.assert_array_equal(raw.images, DATA.images)
    np.testing.assert_array_equal(raw.labels, DATA.labels)
    assert raw.class_names == ["0", "1", "2", "3"]
    assert raw.files == [f"{tmp_path}/all.npy", f"{tmp_path}/all_labels.npy"]
    framed = [
        loading.load(name, 8, 1, memory_share=share, cache=str(tmp_path / "c"))
        for share in (1, 0)
    ]
    np.testing.assert_array_equal(*(np.asarray(each.images) for each in framed))


def test_options_name_the_other_files(name, tmp_path):
    raw = loaders.load(
        f"{name},labels={tmp_path}/others.npy,names={tmp_path}/names.txt"
    )
    np.testing.assert_array_equal(raw.labels, 3 - DATA.labels)
    assert raw.class_names == ["a", "b", "c", "d", "e"]


def test_unlabelled_images_need_no_labels(name, tmp_path):
    (tmp_path / "all_labels.npy").unlink()
    raw = unlabelled.load(name)
    assert len(raw.images) == 20
    assert not raw.labels.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "all.npy").unlink(), "cannot be read"),
        (lambda f: (f / "all_labels.npy").unlink(), "cannot be read"),
        (lambda f: (f / "all.npy").write_bytes(b"text"), "cannot be read"),
        (lambda f: np.save(f / "all.npy", np.array([print])), "Python obj"),
        (lambda f: np.save(f / "all.npy", np.zeros(4)), "must hold numbers"),
        (lambda f: np.save(f / "all_labels.npy", np.zeros(4)), "one label"),
        (
            lambda f: np.save(f / "all_labels.npy", np.full(20, 0.5)),
            "class numbers",
        ),
        (
            lambda f: (f / "all.npy").write_bytes(
                (f / "all.npy").read_bytes()[:-1]
            ),
            "cut off",
        ),
    ],
)
def test_what_is_wrong_is_told(name, tmp_path, change, message):
    change(tmp_path)
    with pytest.raises(InputError, match=rf"{message}[^\n]*{tmp_path}"):
        loaders.load(name)


def test_the_order_of_bytes_does_not_matter(tmp_path):
    images = 7 * np.random.default_rng(0).integers(0, 260, (20, 9, 9))
    np.save(tmp_path / "y.npy", np.arange(20) % 4)
    framed = []
    for kind in ("<u2", ">u2"):
        np.save(tmp_path / "x.npy", images.astype(kind))
        name = f"npy:{tmp_path}/x.npy,labels={tmp_path}/y.npy"
        framed.append(loading.load(name, 8, 1).images)
    np.testing.assert_array_equal(*framed)


@pytest.mark.parametrize("shape", [(-20, 8, 8, 1), (10**30, 8, 8), ()])
def test_a_shape_that_cannot_be(name, tmp_path, shape):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with open(tmp_path / "all.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(20 * 64))
    with pytest.raises(InputError, match=r"Received: .*all\.npy"):
        loaders.load(name)


def test_too_few_names(name, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb")
    with pytest.raises(InputError, match="2 lines, and classes 0 to 3"):
        loaders.load(f"{name},names={tmp_path}/names.txt")
