import numpy as np
import PIL.Image
import pytest

from tf_transfer.data.raw import loaders
from tf_transfer.errors import InputError


@pytest.fixture
def table(tmp_path):
    """Writes a table, and the images 0.png to 3.png beside it."""
    (tmp_path / "images").mkdir()
    for i in range(4):
        image = np.full((5, 6, 3), 40 * i, np.uint8)
        PIL.Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")

    def write(text, name="all.csv"):
        (tmp_path / name).write_bytes(text.encode("utf-8-sig"))
        return f"csv:{tmp_path / name}"

    return write


def test_columns_are_found_by_name_and_others_ignored(table):
    name = table(
        'age,file,label,note\n3,images/2.png,dog,"a, b"\n'
        "4,images/0.png,cat,\n5,images/3.png,dog,x\n"
    )
    raw = loaders.load(name)
    assert raw.class_names == ["cat", "dog"]
    np.testing.assert_array_equal(raw.labels, [1, 0, 1])
    assert [image.max() for image in raw.images] == [80, 0, 120]
    assert raw.test is None


def test_columns_and_a_split_may_be_chosen(table):
    name = table(
        "where\tlabel\tbreed\tpart\nimages/2.png\tx\tpug\ttrain\n"
        "images/1.png\ty\tpug\tTest\n",
        "all.tsv",
    )
    raw = loaders.load(f"{name},path=where,label=breed,split=part")
    assert raw.class_names == ["pug"]
    np.testing.assert_array_equal(raw.test, [1])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", "", "Received: columns none"),
        ("path,label\n", "", "has no images"),
        (
            "path,kind\na.png,b\n",
            "",
            r"by csv:.*,label=COLUMN.*path, k",
        ),
        ("path,file,label\na,b,c\n", "", "One column must be the path"),
        ("path,label\na.png,b\n", ",label=kind", r"label \(kind\)"),
        ("path,label\na.png,b\nb.png,\n", "", "Received: line 3 of"),
        ("path,label\na.png\n", "", "Received: line 2 of"),
        ('path,label\n"a.png,b\n', "", "table cannot be read"),
        ("path,label\na.png,b\n", ",label=x,label=y", "is given once"),
    ],
)
def test_a_wrong_table_is_told(table, text, options, message):
    with pytest.raises(InputError, match=message):
        loaders.load(table(text) + options)


def test_an_absent_table_or_image_is_told(table, tmp_path):
    with pytest.raises(InputError, match="No such file or directory"):
        loaders.load(f"csv:{tmp_path / 'none.csv'}")
    (tmp_path / "bytes.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(InputError, match="table cannot be read"):
        loaders.load(f"csv:{tmp_path / 'bytes.csv'}")
    images = loaders.load(table("path,label\nnone.png,a\n")).images
    with pytest.raises(InputError, match=r"none\.png"):
        images[0]
