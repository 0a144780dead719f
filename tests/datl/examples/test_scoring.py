import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.datl.examples import checkpoint as checkpoint_lib
from tf_transfer.errors import InputError

RNG = np.random.default_rng(0)
SOURCE = RNG.normal(size=(3000, 2)).astype(np.float32)
TARGET = RNG.normal((1.0, 0.0), size=(1500, 2)).astype(np.float32)


class Counting(keras.Model):
    """Returns its input, and counts the rows that pass through it."""

    def __init__(self, fail_after=np.inf):
        super().__init__()
        self.rows, self.fail_after = 0, fail_after

    def call(self, x):
        def count(rows):
            self.rows += len(rows)
            if self.rows > self.fail_after:
                raise KeyboardInterrupt
            return rows

        return tf.ensure_shape(
            tf.numpy_function(count, [x], tf.float32), x.shape
        )


@pytest.fixture
def identity():
    return keras.Sequential([keras.Input((2,)), keras.layers.Identity()])


def batches(values, labels=None, size=256):
    parts = values if labels is None else (values, labels)
    return tf.data.Dataset.from_tensor_slices(parts).batch(size)


def score(encoder, source=SOURCE, target=TARGET, **settings):
    if isinstance(source, np.ndarray):
        settings.setdefault("num_examples", len(source))
        source = batches(source)
    return tt.score_examples(encoder, source, target, **settings)


@pytest.mark.parametrize("sample", [500, 10_000])
def test_direction_and_scale_are_those_of_two_normal_densities(
    identity, sample
):
    # Of N(0, 1) and N(1, 1) the ratio at x is exp(x - 1/2).
    found = score(identity, sample=sample).ratios
    wanted = np.exp(SOURCE[:, 0] - 0.5)
    slope, offset = np.polyfit(SOURCE[:, 0] - 0.5, np.log(found), 1)
    assert slope == pytest.approx(1, abs=0.15)
    assert offset == pytest.approx(0, abs=0.15)
    assert np.corrcoef(found, wanted)[0, 1] > 0.95
    assert found.mean() == pytest.approx(1, abs=0.25)  # E_s of P_t / P_s


def test_equal_source_and_target_get_ratios_near_one(identity):
    found = score(identity, target=SOURCE[::2] * 1.0).ratios
    np.testing.assert_allclose(found, 1, atol=0.25)


def test_a_few_target_images_move_little(identity):
    """Cross-validation regularises where there is no evidence."""
    found = score(identity, target=TARGET[:6]).ratios
    assert found.min() > 0.01
    assert found.max() < 30


def test_each_image_passes_once_and_datasets_of_any_batches_agree():
    labels = np.zeros(len(SOURCE), np.int32)
    images = np.zeros((len(SOURCE), 1, 2, 1), np.uint8)
    images[:, 0, :, 0] = np.clip(SOURCE * 40 + 128, 0, 255)
    data = tt.ImageData(images, labels, ["only"])
    target = np.clip(TARGET * 40 + 128, 0, 255).astype(np.uint8) / 255
    target = target.astype(np.float32).reshape(-1, 1, 2, 1)
    scores = []
    for source in (data, data.batches(100), data.batches(7)):
        encoder = Counting()
        scores.append(
            score(encoder, source, target, sample=800, num_examples=len(labels))
        )
        assert encoder.rows == len(SOURCE) + len(TARGET)
    for other in scores[1:]:
        np.testing.assert_allclose(other.ratios, scores[0].ratios, rtol=1e-5)


def test_beliefs_find_wrong_labels(identity):
    labels = (SOURCE[:, 0] > 0).astype(np.int32)
    source = SOURCE + 4 * np.stack([labels, labels], axis=1)
    wrong = RNG.random(len(labels)) < 0.2
    given = np.where(wrong, 1 - labels, labels)
    found = score(
        identity,
        batches(source, given),
        num_examples=len(given),
        beliefs=True,
        sample=1000,
    )
    doubted = found.likely_labels != given
    assert (doubted == wrong).mean() > 0.98
    np.testing.assert_array_equal(
        found.likely_labels[doubted & wrong], labels[doubted & wrong]
    )
    assert found.beliefs[wrong].mean() < 0.1
    assert found.beliefs[~wrong].mean() > 0.95


def test_an_interrupted_scoring_continues(identity, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_lib, "_EVERY", 0)
    path, settings = tmp_path / "scores.npz", {"sample": 600}
    whole = score(identity, **settings)
    with pytest.raises((KeyboardInterrupt, tf.errors.OpError)):
        score(Counting(fail_after=3900), checkpoint=path, **settings)
    with np.load(path) as saved:
        done = len(saved["column_0"])
    assert 0 < done < 2400
    encoder = Counting()
    again = score(encoder, checkpoint=path, **settings)
    # The sample and the target give the classifier again.
    assert encoder.rows == 600 + 1500 + 2400 - done
    np.testing.assert_allclose(again.ratios, whole.ratios, rtol=1e-5)
    # The same call once more has only to make the classifier.
    encoder = Counting()
    score(encoder, checkpoint=path, **settings)
    assert encoder.rows == 600 + 1500


def test_a_checkpoint_of_something_else_is_refused(identity, tmp_path):
    path = tmp_path / "scores.npz"
    score(identity, checkpoint=path, sample=600)
    with pytest.raises(InputError, match="of other images"):
        score(identity, target=-TARGET, checkpoint=path, sample=600)
    for other in ({"seed": 1}, {"sample": 700}, {"folds": 3}):
        settings = {"sample": 600, "checkpoint": path} | other
        with pytest.raises(InputError, match="of other images"):
            score(identity, **settings)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read"):
        score(identity, checkpoint=path, sample=600)


def test_a_checkpoint_of_other_labels_is_refused(identity, tmp_path):
    labels = (SOURCE[:, 0] > 0).astype(np.int32)
    settings = {"num_examples": len(labels), "beliefs": True, "sample": 600}
    settings["checkpoint"] = tmp_path / "scores.npz"
    score(identity, batches(SOURCE, labels), **settings)
    with pytest.raises(InputError, match="of other images"):
        score(identity, batches(SOURCE, 1 - labels), **settings)


def test_of_a_sorted_target_a_random_part_is_used(identity):
    target = np.repeat(np.array([[-2.0, 0], [2.0, 0]], np.float32), 500, axis=0)
    found = score(identity, target=target, sample=300).ratios
    left = SOURCE[:, 0] < 0
    assert 0.5 < found[left].mean() / found[~left].mean() < 2


def test_a_dataset_that_is_longer_is_refused(identity):
    with pytest.raises(tf.errors.InvalidArgumentError, match="`num_examples`"):
        score(identity, num_examples=2000)


def test_features_that_are_not_pooled_are_refused():
    wide = keras.Sequential(
        [keras.Input((2,)), keras.layers.RepeatVector(5000)]
    )
    with pytest.raises(InputError, match=r"pool them\. Received: 10,000"):
        score(wide, SOURCE[:50], sample=20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "mnist"}, "must be ImageData"),
        ({"num_examples": None}, "give `num_examples`"),
        ({"num_examples": 1}, "two images or more. Received: 1"),
        ({"num_examples": 4000}, "ends before the"),
        ({"target": TARGET[:1]}, "target must have two images"),
        ({"target": TARGET[:0]}, "Received: 0"),
        ({"target": TARGET * np.nan}, "features must be finite"),
        ({"beliefs": True}, "Beliefs need labels"),
        ({"sample": 1}, "at least 2"),
        ({"folds": 1}, "at least 2"),
        ({"seed": -1}, "`seed` must be"),
    ],
)
def test_it_refuses(identity, changes, message):
    with pytest.raises(InputError, match=message):
        score(identity, **changes)
