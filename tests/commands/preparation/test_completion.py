import numpy as np
import pytest

import tf_transfer as tt
from tf_transfer.commands.preparation import completion
from tf_transfer.config import Experiment
from tf_transfer.errors import InputError

RNG = np.random.default_rng(0)
SCANS = [
    (RNG.integers(0, 256, (20, 18, 3)).astype(np.uint8), i % 2)
    for i in range(8)
]


def test_data_of_a_program_are_framed_by_settings_that_suit_them():
    config, arrays = completion.framed(
        Experiment(), source=SCANS, target=None, unlabelled=None
    )
    # The target is that of `digits`: 8 pixels, grey.
    assert (config.data.image_size, config.data.channels) == (12, 1)
    assert arrays["source"].images.shape == (8, 12, 12, 1)
    assert arrays["target"] is None


def test_framed_data_decide_the_size():
    framed = tt.from_dataset(SCANS, size=9, channels=1)
    config, arrays = completion.framed(
        Experiment(), source=SCANS, target=framed, unlabelled=None
    )
    assert arrays["source"].images.shape[1:] == framed.images.shape[1:]
    assert config.data.image_size == 9
    same, _ = completion.framed(config, source=framed, target=framed)
    assert same is config


def test_unlabelled_images_are_framed_with_the_target_alone():
    with pytest.raises(InputError, match="`unlabelled` must be ImageData"):
        completion.framed(Experiment(), source=None, unlabelled=SCANS)


def test_settings_of_several_targets_suit_all(tmp_path):
    for side, channels in ((40, 1), (30, 3)):
        images = RNG.integers(0, 256, (6, side, side, channels))
        np.savez(
            tmp_path / f"{side}.npz",
            x_train=images.astype(np.uint8),
            y_train=np.arange(6) % 2,
        )
    names = [f"npz:{tmp_path}/{side}.npz" for side in (40, 30)]
    config = Experiment()
    config.data.source = names[0]
    shared = completion.shared_settings(config, names)
    assert (shared.data.image_size, shared.data.channels) == (30, 3)
    assert shared.encoder.form == "pooled"
    assert config == Experiment(data=config.data)


def test_steps_follow_from_the_classes_that_are_used(tmp_path):
    for name, classes in (("target", "abcd"), ("more", "ef")):
        np.savez(
            tmp_path / f"{name}.npz",
            x_train=RNG.integers(0, 256, (400, 9, 9), np.uint8),
            y_train=np.arange(400) % len(classes),
            class_names=list(classes),
        )
    config = Experiment()
    config.data.target = f"npz:{tmp_path}/target.npz+npz:{tmp_path}/more.npz"
    config.data.labels_per_class = 40
    for classes, labels in (((), 240), (("a", "c"), 80), (("a", "e"), 80)):
        config.data.target_classes = classes
        _, chosen = completion.completed(config, None, None, None)
        assert f"on {labels} labelled ones" in " ".join(chosen)
