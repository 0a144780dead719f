import csv
import shutil

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import predict
from tf_transfer.errors import InputError

FRAME = tt.Frame(8, 1, tt.Appearance(255.0))
NAMES = ["ant", "bee", "cat", "dög"]


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """An exported model, which tests only read."""
    model = helpers.tiny_classifier()
    folder = tmp_path_factory.mktemp("model") / "export"
    return tt.export_serving(model, folder, NAMES, FRAME)


def write_image(path, side=20, encode=tf.io.encode_png):
    rng = np.random.default_rng(side)
    image = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
    path.write_bytes(encode(image).numpy())
    return path


def test_names_the_most_probable_class(version, tmp_path):
    files = [
        write_image(tmp_path / "one.png"),
        write_image(tmp_path / "two.jpg", 33, tf.io.encode_jpeg),
    ]
    serve = tf.saved_model.load(str(version)).signatures["serve_bytes"]
    content = tf.constant([file.read_bytes() for file in files])
    expected = serve(image_bytes=content)
    predictions = list(predict.predict(version, files))
    assert [each.file for each in predictions] == [str(f) for f in files]
    for i, each in enumerate(predictions):
        assert each.class_name == NAMES[int(expected["class_ids"][i, 0])]
        assert each.probability == pytest.approx(
            float(expected["probabilities"][i].numpy().max())
        )


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "WEBP"])
def test_reads_every_format_of_the_training_data(version, tmp_path, kind):
    """Upright, and of an animation the first picture."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(2)]
    first, second = (PIL.Image.fromarray(picture) for picture in pictures)
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    options = {"exif": tags.tobytes()} if kind not in ("BMP", "GIF") else {}
    if kind in ("GIF", "WEBP"):
        options |= {"save_all": True, "append_images": [second]}
    file = tmp_path / f"image.{kind.lower()}"
    first.save(file, kind, **options)
    with PIL.Image.open(file) as image:
        upright = np.asarray(PIL.ImageOps.exif_transpose(image).convert("RGB"))
    serve = tf.saved_model.load(str(version)).signatures["serve_uint8"]
    expected = serve(tf.constant(upright[None]))
    [each] = predict.predict(version, [file])
    assert each.class_name == expected["class_names"].numpy()[0, 0].decode()
    # TensorFlow and Pillow round JPEG values in their own ways.
    right = float(expected["top_probabilities"][0, 0])
    assert each.probability == pytest.approx(right, rel=1e-2 * (kind == "JPEG"))


def test_refuses_files_and_folders(version, tmp_path):
    good = write_image(tmp_path / "good.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:50])
    files = [good, bad, tmp_path / "absent.png", good]
    found = list(predict.predict(version, files))
    assert [bool(each.error) for each in found] == [False, True, True, False]
    for each, file in zip(found[1:3], files[1:3], strict=True):
        assert f"cannot be read. Received: {file}" in each.error
        assert each.class_name is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no images\. Received: .*/empty"):
        next(predict.predict(version, [tmp_path / "empty"]))
    for folder in (tmp_path / "nowhere", version.parent, bad):
        with pytest.raises(InputError, match="holds no SavedModel"):
            next(predict.predict(folder, [good]))
    other = tmp_path / "other"
    tf.saved_model.save(tf.Module(), str(other))
    with pytest.raises(InputError, match="no signature `serve_bytes`"):
        next(predict.predict(other, [good]))
    damaged = shutil.copytree(version, tmp_path / "damaged")
    (damaged / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(InputError, match="SavedModel cannot be read"):
        next(predict.predict(damaged, [good]))


def test_a_folder_gives_its_images_at_any_depth(version, tmp_path):
    for name in ("b.png", "a/c.png", "a/d/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = predict.predict(version, [tmp_path, tmp_path / "b.png"])
    names = ["a/c.png", "a/d/e.png", "b.png", "b.png"]
    assert [each.file for each in found] == [str(tmp_path / n) for n in names]


@pytest.mark.parametrize("kind", ["text", "csv"])
def test_bad_files_are_passed_over_and_told_in_the_end(capsys, kind):
    predictions = [
        predict.Prediction("=1+1.png", "cat", 0.25),
        predict.Prediction("b\n.png", error="It cannot be\x1b read."),
        predict.Prediction("c,d.png", "dog", 0.5),
    ]
    with pytest.raises(InputError, match="Received: 1 unreadable of 3"):
        predict.print_table(predictions, kind)
    shown = capsys.readouterr()
    assert shown.err == "tf-transfer: It cannot be\\x1b read.\n"
    if kind == "text":
        assert shown.out == "=1+1.png\tcat\t0.2500\nc,d.png\tdog\t0.5000\n"
        predict.print_table(predictions[:1], kind)
        return
    header, first, last = csv.reader(shown.out.splitlines())
    assert header == ["file", "class", "probability"]
    assert first == ["'=1+1.png", "cat", "0.250000"]
    assert last == ["c,d.png", "dog", "0.500000"]
