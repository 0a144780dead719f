import numpy as np
import pytest

from tf_transfer.data import loading, unlabelled
from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError
from tf_transfer.utils.storage import archives


def test_npz_with_and_without_optional_arrays(tmp_path):
    path = tmp_path / "data.npz"
    x, y = np.zeros((3, 4, 4, 1), np.uint8), np.array([0, 1, 1])
    np.savez(path, x_train=x, y_train=y)
    raw = loaders.load(f"npz:{path}")
    assert raw.class_names == ["0", "1"]
    assert raw.test is None
    np.savez(
        path,
        x_train=x,
        y_train=y,
        x_test=x[:2],
        y_test=y[:2],
        class_names=["a", "b"],
    )
    raw = loaders.load(f"npz:{path}")
    assert raw.class_names == ["a", "b"]
    assert raw.test.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.zeros((2, 4, 4))}, "no array 'y_train'"),
        (
            {"x_train": np.zeros((2, 4, 4)), "y_train": np.zeros(3, int)},
            "equal lengths",
        ),
        (
            {
                "x_train": np.zeros((2, 4, 4)),
                "y_train": np.zeros(2, int),
                "x_test": np.zeros((2, 5, 5)),
                "y_test": np.zeros(2, int),
            },
            "one shape",
        ),
    ],
)
def test_npz_refuses(tmp_path, arrays, message):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message):
        loaders.load(f"npz:{path}")


@pytest.mark.parametrize("form", ["column", "float", "float column"])
def test_npz_labels_as_keras_and_others_keep_them(tmp_path, form):
    labels = np.array([0, 2, 1])
    kept = labels[:, None] if "column" in form else labels
    kept = kept.astype(np.float32) if "float" in form else kept
    path = tmp_path / "data.npz"
    x = np.zeros((3, 4, 4), np.uint8)
    np.savez(path, x_train=x, y_train=kept, x_test=x, y_test=labels)
    raw = loaders.load(f"npz:{path}")
    assert raw.labels.tolist() == [0, 2, 1, 0, 2, 1]
    assert raw.labels.dtype.kind == "i"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3), r"y.argmax\(axis=1\).*shape \(3, 3\)"),
        (np.array([0.5, 1, 2]), "class numbers.*float64"),
        (np.array([np.nan, 1, 2]), "class numbers.*float64"),
        (np.array(["a", "b", "c"]), "class numbers.*<U1"),
        (np.array([True, False, True]), "class numbers.*bool"),
    ],
)
def test_npz_refuses_labels(tmp_path, labels, message):
    path = tmp_path / "data.npz"
    np.savez(path, x_train=np.zeros((3, 4, 4), np.uint8), y_train=labels)
    with pytest.raises(InputError, match=message):
        loaders.load(f"npz:{path}")


def test_npz_class_names_of_bytes(tmp_path):
    path = tmp_path / "data.npz"
    arrays = {"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": [0, 1]}
    np.savez(path, class_names=[b"cat", "é".encode()], **arrays)
    assert loaders.load(f"npz:{path}").class_names == ["cat", "é"]
    np.savez(path, class_names=[b"cat", b"\xe9"], **arrays)
    with pytest.raises(InputError, match="must be UTF-8"):
        loaders.load(f"npz:{path}")


def test_npz_class_names_given_twice_stay_two_classes(tmp_path):
    """ImageNet has two classes `crane`: a bird and a machine."""
    path = tmp_path / "data.npz"
    arrays = {"x_train": np.zeros((3, 4, 4), np.uint8), "y_train": [0, 1, 2]}
    np.savez(path, class_names=["crane", "cat", "crane"], **arrays)
    raw = loaders.load(f"npz:{path}")
    assert raw.class_names == ["crane", "cat", "crane"]
    assert raw.labels.tolist() == [0, 1, 2]


def test_npz_parts_of_different_ranges(tmp_path):
    path = tmp_path / "data.npz"
    x, y = np.full((2, 4, 4), 51, np.uint8), np.arange(2)
    unit = (x / 255).astype(np.float32)
    np.savez(path, x_train=x, y_train=y, x_test=unit, y_test=y)
    np.testing.assert_allclose(loaders.load(f"npz:{path}").images, 0.2)
    whole = x.astype(np.float32)
    np.savez(path, x_train=whole, y_train=y, x_test=unit, y_test=y)
    with pytest.raises(InputError, match="one range of pixel values"):
        loaders.load(f"npz:{path}")


def test_npz_never_runs_code(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x_train=np.array([print], object), y_train=np.zeros(1))
    with pytest.raises(InputError, match="cannot be read"):
        loaders.load(f"npz:{path}")


def test_what_an_archive_lacks_is_said_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=np.zeros((2, 8, 8), np.uint8))
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(InputError, match="no array 'y_train'"):
        loaders.load(f"npz:{path}")


def test_an_archive_that_does_not_fit_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.npz"
    images = np.zeros((100, 64, 64), np.uint8)
    np.savez_compressed(path, x_train=images, y_train=np.zeros(100, int))
    monkeypatch.setattr(archives.environment, "memory", lambda: 10**5)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(InputError, match="have 410400 bytes, more than 10000"):
        loaders.load(f"npz:{path}")


@pytest.mark.parametrize("test_part", [False, True])
def test_large_arrays_stay_in_the_archive(tmp_path, monkeypatch, test_part):
    monkeypatch.setattr(archives, "_MAPPED", 1_000)
    rng = np.random.default_rng(0)
    found = {}
    x = rng.integers(0, 256, (40, 9, 9), np.uint8)
    parts = {"x_train": x, "y_train": np.arange(40) % 4}
    if test_part:
        parts |= {"x_test": x[:20], "y_test": np.arange(20) % 4}
    for save in (np.savez, np.savez_compressed):
        path = tmp_path / f"{save.__name__}.npz"
        save(path, **parts)
        raw = loaders.load(f"npz:{path}")
        found[save] = raw
        in_file = not isinstance(raw.images, np.ndarray) or isinstance(
            raw.images, np.memmap
        )
        assert in_file == (save is np.savez)
    mapped, unpacked = found.values()
    np.testing.assert_array_equal(np.asarray(mapped.images), unpacked.images)
    np.testing.assert_array_equal(mapped.labels, unpacked.labels)
    framed = [
        loading.frame(raw, 8, 1, memory_share=share, cache=str(tmp_path / "c"))
        for raw in (mapped, unpacked)
        for share in (1, 0)
    ]
    for each in framed[1:]:
        np.testing.assert_array_equal(np.asarray(each.images), framed[0].images)
        assert each.fingerprint() == framed[0].fingerprint()
    joined = unlabelled.frame_together(mapped, mapped, size=8, channels=1)
    np.testing.assert_array_equal(joined[0].images, joined[1].images)
