import io
import sys

import numpy as np
import PIL.Image
import pytest

from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError

datasets = pytest.importorskip("datasets", reason="needs tf_transfer[hf]")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def picture(i):
    image = np.random.default_rng(i).integers(0, 256, (6, 7, 3))
    return image.astype(np.uint8)


def encoded(i):
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture(i)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def rows(numbers, labels=None, label=None):
    features = {
        "id": datasets.Value("int64"),
        "img": datasets.Image(),
        "fine_label": label or datasets.ClassLabel(names=["cat", "dog", "emu"]),
    }
    return datasets.Dataset.from_dict(
        {
            "id": list(numbers),
            "img": [encoded(i) for i in numbers],
            "fine_label": labels or [i % 2 for i in numbers],
        },
        datasets.Features(features),
    )


def check(raw):
    """Four images to train with, and two to test with."""
    assert raw.class_names == ["cat", "dog", "emu"]
    np.testing.assert_array_equal(raw.labels, np.arange(6) % 2)
    np.testing.assert_array_equal(raw.test, [4, 5])
    for i in (5, 0, 3):
        np.testing.assert_array_equal(raw.images[i], picture(i))
    assert raw.files


def test_a_saved_set_is_read(tmp_path):
    parts = {"test": rows([4, 5]), "train": rows(range(4))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "set")
    check(loaders.load(f"hf:{tmp_path}/set,label=fine_label"))


def test_parquet_files_are_read(tmp_path):
    for name, numbers in (("test-0", [4, 5]), ("train-0", range(4))):
        rows(numbers).to_parquet(tmp_path / f"{name}.parquet")
    for path in (tmp_path, f"{tmp_path}/*.parquet"):
        check(loaders.load(f"hf:{path},label=fine_label"))
    one = loaders.load(f"hf:{tmp_path}/train-0.parquet,label=fine_label")
    assert (len(one.labels), one.test) == (4, None)


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [([10, 9, 10], "int64", ["9", "10"]), (["b", "a", "b"], "string", None)],
)
def test_classes_need_no_names(tmp_path, labels, kind, names):
    part = rows(range(3), labels, datasets.Value(kind))
    part.to_parquet(tmp_path / "a.parquet")
    raw = loaders.load(f"hf:{tmp_path},label=fine_label")
    assert raw.class_names == (names or ["a", "b"])
    np.testing.assert_array_equal(raw.labels, [1, 0, 1])


def test_what_is_wrong_is_told(tmp_path):
    rows(range(3), [0, -1, 1]).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    for name, message in (
        (f"{tmp_path}/none", "neither a set that `save_to_disk` wrote nor"),
        (
            f"{tmp_path}/a.parquet",
            r"no column label.*columns id, img, fi",
        ),
        (f"{tmp_path}/a.parquet,label=id,image=id", "must hold encoded images"),
        (f"{tmp_path}/a.parquet,label=img", "must hold one class in each row"),
        (
            f"{tmp_path}/a.parquet,label=fine_label",
            "Received: -1 in fine",
        ),
        (f"{tmp_path}/text.parquet", "set cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            loaders.load(f"hf:{name}")


def test_without_the_package_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'tf_transfer\[hf\]'"):
        loaders.load(f"hf:{tmp_path}")
