import socket
import sys

import keras
import keras_hub
import numpy as np
import pytest

from tf_transfer.errors import InputError
from tf_transfer.models import classifiers, encoders

APPLICATIONS = sorted(n for n in dir(keras.applications) if n[0].isupper())
IMAGES = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)


def test_keras_applications_by_name():
    model = encoders.encoder("MobileNetV3Small", (32, 32, 3))
    assert model.output_shape == (None, 576)


@pytest.mark.parametrize(
    ("name", "shape", "weights", "message"),
    [
        ("NoSuchNet", (32, 32, 3), "", "Unknown encoder"),
        ("resnet50", (32, 32, 3), "", "Unknown encoder"),
        ("ResNet50", (12, 12, 1), "", "at least 32x32 with 3 channels"),
        ("ResNet50", (32, 32, 3), "preset", '"imagenet" or a weights file'),
        ("small", (8, 8, 1), "imagenet", 'must be "" or a weights file'),
        ("keras_hub:x", (8, 8, 3), "imagenet", '"preset" or a weights file'),
        ("keras_hub:no_such", (8, 8, 3), "", "'no_such' cannot be loaded"),
        ("keras_hub:nowhere/", (8, 8, 3), "preset", "cannot be loaded"),
    ],
)
def test_encoder_refuses(name, shape, weights, message):
    with pytest.raises(InputError, match=f"{message}.*Received: "):
        encoders.encoder(name, shape, weights=weights)


def mean_builder(calls):
    """A stand-in for a keras.applications model: the mean of the image."""

    def build(include_top, weights, input_shape, pooling):
        calls.append((include_top, weights, pooling))
        mean = keras.layers.GlobalAveragePooling2D()
        return keras.Sequential([keras.Input(input_shape), mean])

    return build


@pytest.mark.parametrize("name", APPLICATIONS)
def test_trained_weights_see_the_range_they_expect(name, monkeypatch):
    home = sys.modules[getattr(keras.applications, name).__module__]
    calls = []
    monkeypatch.setattr(keras.applications, name, mean_builder(calls))
    model = encoders.encoder(name, (32, 32, 3), weights="imagenet")
    assert calls == [(False, "imagenet", "avg")]
    expected = home.preprocess_input(IMAGES * 255).mean(axis=(1, 2))
    if name.startswith("MobileNetV3"):  # the real model rescales 0..255
        expected = IMAGES.mean(axis=(1, 2)) * 255
    np.testing.assert_allclose(model(IMAGES), expected, rtol=1e-4, atol=1e-4)


def test_blue_first_is_saved_and_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.applications, "VGG16", mean_builder([]))
    body = encoders.encoder("VGG16", (32, 32, 3), weights="imagenet")
    model = classifiers.classifier(body, 4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(IMAGES), model(IMAGES), rtol=1e-6)
    copy = classifiers.encoder_of(classifiers.replace_head(model, 2))
    np.testing.assert_allclose(copy(IMAGES), body(IMAGES), rtol=1e-6)


def test_a_failed_download_is_one_sentence(monkeypatch, capsys, tmp_path):
    def unreachable(*arguments):
        raise OSError("no network")

    def without_cache(*arguments, **settings):
        return real(*arguments, **settings, cache_dir=str(tmp_path))

    home = sys.modules[keras.applications.MobileNetV2.__module__]
    real = home.file_utils.get_file
    monkeypatch.setattr(home.file_utils, "get_file", without_cache)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    with pytest.raises(InputError, match="cannot be downloaded") as error:
        encoders.encoder("MobileNetV2", (96, 96, 3), weights="imagenet")
    sentence = str(error.value)
    assert "Received: Exception: URL fetch failure" in sentence
    assert "no network" in sentence
    assert "\n" not in sentence
    assert capsys.readouterr().out == ""


def test_weights_files(tmp_path):
    path = str(tmp_path / "small.weights.h5")
    first = encoders.encoder("small", (8, 8, 1), 4)
    first.save_weights(path)
    again = encoders.encoder("small", (8, 8, 1), 4, weights=path)
    for one, other in zip(
        first.get_weights(), again.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="does not fit encoder"):
        encoders.encoder("small", (8, 8, 1), 8, weights=path)
    (tmp_path / "bad.h5").write_text("nothing")
    with pytest.raises(InputError, match="does not fit"):
        encoders.encoder("small", (8, 8, 1), weights=f"{tmp_path}/bad.h5")


@pytest.fixture
def preset(tmp_path):
    """A preset of keras-hub: a folder with a tiny backbone."""
    backbone = keras_hub.models.VGGBackbone(
        stackwise_num_repeats=[1], stackwise_num_filters=[4]
    )
    backbone.save_to_preset(tmp_path / "preset")
    return tmp_path / "preset", backbone


@pytest.mark.parametrize("scale", [None, 1 / 255, [0.01, 0.02, 0.03]])
def test_a_preset_of_keras_hub(preset, scale):
    folder, backbone = preset
    images = IMAGES
    if scale is not None:
        keras_hub.layers.VGGImageConverter(
            image_size=(224, 224), scale=scale, offset=-0.5
        ).save_to_preset(folder)
        images = IMAGES * 255 * np.float32(scale) - 0.5
    name = f"keras_hub:{folder}"
    model = encoders.encoder(name, (32, 32, 3), weights="preset")
    expected = np.mean(backbone(images), axis=(1, 2))
    np.testing.assert_allclose(model(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert model.output_shape == (None, 4)
    fresh = encoders.encoder(name, (32, 32, 3))
    assert np.abs(fresh(IMAGES) - expected).max() > 1e-3


def test_a_missing_keras_hub_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(InputError, match=r"tf_transfer\[hub\].*Received: "):
        encoders.encoder("keras_hub:resnet_18_imagenet", (32, 32, 3))


def test_a_backbone_must_give_features(monkeypatch):
    inputs = keras.Input((8, 8, 3))
    body = keras.Model(inputs, {"a": inputs, "b": inputs}, name="two")
    backbone = type("Backbone", (), {"from_preset": lambda *a, **k: body})
    monkeypatch.setattr(keras_hub.models, "Backbone", backbone)
    with pytest.raises(InputError, match="one output of features"):
        encoders.encoder("keras_hub:two", (8, 8, 3))
