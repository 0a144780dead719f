import pathlib
import pickle

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.data import loading, splits, unlabelled
from tf_transfer.data.raw.formats import folders
from tf_transfer.data.store import indexed
from tf_transfer.errors import InputError

FRAMING = {"size": 8, "channels": 3}


def loaded(name, **settings):
    return loading.load(name, **FRAMING, **settings)


@pytest.fixture
def both(photos):
    """The same images, decoded now and as they are needed."""
    return loaded(photos), loaded(photos, decode="as_needed")


def test_the_images_are_those_that_are_framed_once(both):
    now, later = both
    rows = np.array([3, 3, 59, 0, 7])
    np.testing.assert_array_equal(later.images[rows], now.images[rows])
    np.testing.assert_array_equal(np.asarray(later.images), now.images)
    assert later.images.nbytes == 0
    again = pickle.loads(pickle.dumps(later))
    np.testing.assert_array_equal(again.images[rows], now.images[rows])


def test_training_batches_are_the_same(both):
    batches = [next(iter(each.shuffled_batches(16, seed=1))) for each in both]
    for one, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_decoded_to_know_the_images_again(photos, monkeypatch):
    first, other = loaded(photos, decode="as_needed"), loaded(photos)
    part = first.only(["a", "c"])
    joined = indexed.joined([first.images, other.images])
    monkeypatch.setattr(indexed.IndexedImages, "__getitem__", None)
    assert (
        first.fingerprint() == loaded(photos, decode="as_needed").fingerprint()
    )
    assert len({first.fingerprint(), part.fingerprint()}) == 2
    assert len(first.digests()) == 0
    np.testing.assert_array_equal(joined.digests(), other.digests())
    assert joined.name() != first.images.name()


def test_a_copy_in_another_folder_is_the_same_data(photos, tmp_path):
    first = loaded(photos, decode="as_needed")
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    moved = loaded(f"folder:{tmp_path}/elsewhere", decode="as_needed")
    assert moved.fingerprint() == first.fingerprint()
    one = next((tmp_path / "elsewhere").rglob("*.png"))
    one.write_bytes(one.read_bytes() + b"more")
    other = loaded(f"folder:{tmp_path}/elsewhere", decode="as_needed")
    assert other.fingerprint() != first.fingerprint()


def damage_after_measuring(monkeypatch, folder: pathlib.Path):
    """Leaves 20 images to the measuring, and damages another one."""
    monkeypatch.setattr(loading, "_MEASURED", 20)
    monkeypatch.setattr(loading, "_KNOWN", 2)
    paths = sorted(folder.rglob("*.png"))
    pool = np.arange(len(paths))
    sample = np.random.default_rng(0).permutation(pool)[:20]
    names = folders.load_folder(str(folder)).files
    place = next(i for i in pool[1:] if i not in sample)
    pathlib.Path(names[place]).write_bytes(b"\x89PNG\r\n\x1a\nbut no more")
    return place, pathlib.Path(names[place]).name


def test_a_damaged_file_is_named_when_it_is_needed(
    photos, tmp_path, monkeypatch
):
    place, name = damage_after_measuring(monkeypatch, tmp_path / "photos")
    data = loaded(photos, decode="as_needed")
    with pytest.raises(InputError, match=rf"cannot be read.*{name}"):
        data.images[np.arange(60)]
    with pytest.raises(InputError, match=name):  # also if it is known
        data.images[[place]]
    assert data.images[[0 if place else 1]].any()
    batches = loaded(photos, decode="as_needed").batches(60)
    with pytest.raises(tf.errors.OpError, match=rf"InputError: .*{name}"):
        next(iter(batches))
    patient = loaded(photos, decode="as_needed", damaged="skip")
    with pytest.warns(UserWarning, match=rf"Black images stand.*{name}"):
        images = patient.images[np.arange(60)]
    assert not images[place].any()
    assert np.delete(images, place, axis=0).any(axis=(1, 2, 3)).all()


def test_a_damaged_file_in_the_sample_is_refused_at_once(photos, tmp_path):
    next((tmp_path / "photos").rglob("*.png")).write_bytes(b"no image")
    with pytest.raises(InputError, match="1 image files cannot be read"):
        loaded(photos, decode="as_needed")
    with pytest.warns(UserWarning, match="Left out"):
        data = loaded(photos, decode="as_needed", damaged="skip")
    assert len(data.labels) == 59


def test_it_is_chosen_for_large_images_that_need_much_room(photos, monkeypatch):
    monkeypatch.setattr(loading, "_MOST_STORED", 1_000)
    monkeypatch.setattr(loading, "_LARGE_SIDE", 8)
    kinds = {
        decode: loaded(photos, decode=decode).images
        for decode in ("auto", "once")
    }
    assert kinds["auto"].nbytes == 0
    assert isinstance(kinds["once"], np.ndarray)
    monkeypatch.setattr(loading, "_LARGE_SIDE", 9)
    assert isinstance(loaded(photos).images, np.ndarray)


def test_arrays_and_unlabelled_images(tmp_path, photos):
    data = helpers.blobs(per_class=4)
    np.savez(tmp_path / "a.npz", x_train=data.images, y_train=data.labels)
    name = f"npz:{tmp_path}/a.npz"
    later = loading.load(name, 8, 1, decode="as_needed")
    np.testing.assert_array_equal(
        np.asarray(later.images), loading.load(name, 8, 1).images
    )
    target, more = unlabelled.load_both(
        photos, photos, **FRAMING, decode="as_needed"
    )
    assert target.images.nbytes < 1000 > more.images.nbytes
    assert target.images[:].shape == more.images[:].shape == (60, 8, 8, 3)


def test_a_model_learns_from_them(both):
    weights = []
    for data in both:
        keras.utils.set_random_seed(0)
        model = tt.classifier(tt.small_encoder((8, 8, 3), 4), 3)
        model.compile("sgd", helpers.LOSS)
        batches = data.shuffled_batches(8, seed=0)
        model.fit(batches, steps_per_epoch=9, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_images_are_upright_whatever_a_camera_writes(tmp_path):
    exif = PIL.Image.Exif()
    rng = np.random.default_rng(0)
    for name, turn in (("plain", None), ("upright", 1), ("turned", 6)):
        (tmp_path / "data" / name).mkdir(parents=True)
        image = PIL.Image.fromarray(
            rng.integers(0, 256, (150, 200, 3)).astype(np.uint8)
        )
        exif[0x0112] = turn or 1
        options = {"exif": exif.tobytes()} if turn else {}
        image.save(tmp_path / "data" / name / "1.jpg", quality=90, **options)
    framing = {"size": 128, "channels": 3, "decode": "as_needed"}
    images = loading.load(f"folder:{tmp_path}/data", **framing).images
    for image, file in zip(
        images, sorted(tmp_path.rglob("*.jpg")), strict=True
    ):
        with PIL.Image.open(file) as opened:
            upright = np.asarray(PIL.ImageOps.exif_transpose(opened))
        sides = upright.shape[:2]
        zoom = 128 / min(sides)
        resized = PIL.Image.fromarray(upright).resize(
            [round(side * zoom) for side in sides[::-1]],
            PIL.Image.Resampling.BILINEAR,
        )
        resized = np.asarray(resized)
        top, left = ((side - 128) // 2 for side in resized.shape[:2])
        expected = resized[top : top + 128, left : left + 128]
        difference = np.abs(image.astype(int) - expected)
        assert difference.mean() < 3  # another decoder of JPEG


def test_a_black_image_is_black_whatever_the_background(tmp_path, monkeypatch):
    for i in range(40):
        image = np.full((20, 20), 250, np.uint8)
        image[5:9, 5 + i % 9] = 0
        file = tmp_path / "scans" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(file)
    place, _ = damage_after_measuring(monkeypatch, tmp_path / "scans")
    data = loading.load(
        f"folder:{tmp_path}/scans", 8, 1, decode="as_needed", damaged="skip"
    )
    with pytest.warns(UserWarning, match="Black images stand for 1"):
        images = data.images[:]
    assert not images[place].any()
    assert images.any(axis=(1, 2, 3)).sum() == 39


def test_a_file_of_another_content_but_equal_size_is_another_data_set(tmp_path):
    prints = set()
    for shade in (10, 200):
        images = np.full((9, 8, 8), shade, np.uint8)
        np.savez(tmp_path / "a.npz", x_train=images, y_train=np.arange(9))
        name = f"npz:{tmp_path}/a.npz"
        data = loading.load(name, 8, 1, decode="as_needed")
        prints.add(data.fingerprint())
    assert len(prints) == 2


def test_what_a_program_gives_has_no_files_to_be_known_by(tmp_path):
    examples = [(np.full((9, 9), i, np.uint8), i % 2) for i in range(8)]
    data = tt.from_dataset(examples, size=8, channels=1, decode="as_needed")
    assert isinstance(data.images, np.ndarray)


def test_test_images_in_a_source_are_not_looked_for_and_that_is_told(
    both, capsys
):
    now, later = both
    with pytest.raises(InputError, match="must not contain"):
        splits.check_apart(now, now)
    splits.check_apart(later, now)
    assert "are not compared with the target's test" in capsys.readouterr().err
