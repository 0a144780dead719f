"""Fixtures, and two logical CPU devices for every test."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tf_transfer import config as config_lib

REPOSITORY = pathlib.Path(__file__).parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Draws the embedded data into a cache of the test run's own."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["TF_TRANSFER_CACHE"] = str(folder)


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def mirrored():
    """A strategy over two logical CPU devices."""
    return tt.strategy("mirrored")


@pytest.fixture
def shared_data():
    """The folder of real data beside the checkout, where there is one."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is absent")
    return SHARED_DATA


def blobs(
    per_class: int = 30, classes: int = 4, seed: int = 0, size: int = 8
) -> tt.ImageData:
    """Images whose class is the place of a bright square, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes, dtype=np.int32), per_class)
    images = rng.integers(0, 60, (len(labels), size, size, 1))
    half = size // 2
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label) % 4, 2)
        square = image[row * half :, column * half :][:half, :half]
        square += 60 + 60 * (label // 4)
    names = [f"class {c}" for c in range(classes)]
    return tt.ImageData(images.astype(np.uint8), labels, names)


def tiny_experiment(**changes) -> config_lib.Experiment:
    """An experiment of a few steps a stage."""
    settings = {
        "data": config_lib.Data(
            image_size=8, labels_per_class=4, validation_per_class=2
        ),
        "encoder": config_lib.Encoder(width=4),
        "generalist": config_lib.Training(steps=20, batch_size=16),
        "pretraining": config_lib.Training(steps=4, batch_size=16),
        "finetuning": config_lib.FineTuning(
            steps=4, batch_size=8, learning_rates=(0.02,)
        ),
        "l2tl": config_lib.L2tl(steps=4, policy_warmup=1),
        "seeds": 1,
    }
    return config_lib.Experiment(**settings | changes)


def tiny_classifier(classes: int = 4, size: int = 8) -> keras.Model:
    """A small built classifier that returns logits."""
    model = tt.classifier(tt.small_encoder((size, size, 1), 4), classes)
    model.build((None, size, size, 1))
    return model


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
