import itertools

import keras
import numpy as np
import pytest

from configs import glyphs_to_digits
from tests import helpers
from tf_transfer.commands import compare, weights
from tf_transfer.commands.preparation import resources
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import loaded_data
from tf_transfer.models import small_encoders
from tf_transfer.utils import environment


def huge(group, **settings):
    """A tiny experiment with some settings that no memory is enough for."""
    config = helpers.tiny_experiment(methods=("datl", "l2tl"))
    for name, value in settings.items():
        setattr(getattr(config, group), name, value)
    return config


@pytest.mark.parametrize(
    ("group", "settings", "named"),
    [
        ("encoder", {"width": 10**8}, "`encoder.width`"),
        ("generalist", {"batch_size": 10**9 - 1}, "`generalist.batch_size`"),
        ("pretraining", {"batch_size": 10**9 - 1}, "`pretraining.batch_size`"),
        ("finetuning", {"batch_size": 10**9 - 1}, "`finetuning.batch_size`"),
        ("l2tl", {"levels": 10**9 - 1}, "`l2tl.levels`"),
        ("l2tl", {"oversample": 10**9 - 1}, "`l2tl.oversample`"),
    ],
)
@pytest.mark.parametrize("command", [compare.compare, weights.estimate_weights])
def test_what_no_memory_is_enough_for_is_refused(
    tmp_path, command, group, settings, named
):
    message = rf"needs at least .* GiB of memory, and there are .*{named}"
    (value,) = settings.values()
    with pytest.raises(InputError, match=message) as refused:
        command(huge(group, **settings), tmp_path / "run", **helpers.domains())
    assert f"={value}" in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_large_images_are_refused_under_a_limit(monkeypatch):
    images = np.zeros((20, 2000, 2000, 1), np.uint8)
    labels = np.arange(20) % 2
    data = ImageData(images, labels, ["a", "b"])
    config = glyphs_to_digits.get_config()
    monkeypatch.setattr(environment, "memory", lambda: 8 << 30)
    with pytest.raises(InputError, match=r"8\.0 GiB; .*`data.image_size`"):
        resources.check(config, data, data)


@pytest.mark.parametrize("command", [compare.compare, weights.estimate_weights])
def test_large_images_of_a_new_run_are_not_even_loaded(
    monkeypatch, tmp_path, command
):
    monkeypatch.setattr(environment, "memory", lambda: 8 << 30)
    monkeypatch.setattr(loaded_data, "whole", None)
    config = glyphs_to_digits.get_config()
    config.data.image_size = 2000
    with pytest.raises(InputError, match=r"8\.0 GiB; .*`data.image_size`"):
        command(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_small_encoder_is_measured_without_building_it():
    cases = itertools.product(
        (((12, 12, 1), 4), ((33, 20, 3), 16)), small_encoders.FORMS
    )
    for (shape, width), form in cases:
        settings = shape, width, form
        model = small_encoders.small_encoder(*settings)
        parameters, outputs = small_encoders.small_footprint(*settings)
        assert parameters == model.count_params()
        kinds = (
            keras.layers.Conv2D,
            keras.layers.GroupNormalization,
            small_encoders.StandardizedConv2D,
        )
        assert outputs == sum(
            np.prod(layer.output.shape[1:])
            for layer in model.layers
            if isinstance(layer, kinds)
        )


def test_other_encoders_are_measured_too(monkeypatch):
    data = ImageData(
        np.zeros((4, 32, 32, 3), np.uint8), np.arange(4) % 2, ["a", "b"]
    )
    config = glyphs_to_digits.get_config()
    config.encoder.name = "MobileNetV2"
    needed = resources.check(config, data, data)
    assert needed > resources._BASE + 4 * 6 * 2_257_984
    config.generalist.batch_size *= 10**6
    with pytest.raises(InputError, match=r"`generalist\.batch_size`"):
        resources.check(config, data, data)


def test_jobs_are_bounded_by_processors_and_memory(monkeypatch, capsys):
    monkeypatch.setattr(environment, "processors", lambda: 4)
    monkeypatch.setattr(environment, "memory", lambda: 10 << 30)
    assert resources.limited(3, 1 << 30) == 3
    assert capsys.readouterr().err == ""
    assert resources.limited(10**6, 1 << 30) == 4
    assert resources.limited(4, 4 << 30) == 2
    assert resources.limited(4, 9 << 30) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "Warning: 4 processes train at the same time, not 1000000: there are "
        "4 processors, and each process needs at least 1.0 GiB of memory."
    )
    assert len(lines) == 3
