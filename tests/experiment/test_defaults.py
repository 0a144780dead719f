"""Size, channels, batches and steps that follow from the data."""

import dataclasses

import pytest

from tf_transfer.config import Experiment, Training
from tf_transfer.data.raw.survey import Survey
from tf_transfer.errors import InputError
from tf_transfer.experiment import defaults
from tf_transfer.experiment.stages import optimizers


def survey(count=1000, classes=10, side=28, coloured=False, plain=True):
    return Survey(count, classes, True, side, coloured, plain)


def photographs(count=1000, side=300):
    return survey(count, 10, side, coloured=True, plain=False)


def unset(encoder="small", weights=""):
    """An experiment in which all that can be found is to be found."""
    config = Experiment()
    config.encoder.name, config.encoder.weights = encoder, weights
    config.data.image_size = config.data.channels = 0
    config.data.labels_per_class = 0
    for stage in (config.generalist, config.pretraining, config.finetuning):
        stage.steps = stage.batch_size = 0
    return config


@pytest.mark.parametrize(
    ("source", "target", "form", "optimizer", "augment"),
    [
        (survey(), survey(side=16), "flat", "sgd", "none"),
        (survey(), photographs(side=32), "pooled", "muon", "flip_crop"),
        (photographs(), survey(), "pooled", "muon", "flip_crop"),
        (survey(side=300), survey(side=300), "pooled", "muon", "none"),
    ],
)
def test_the_recipe_follows_from_the_images(
    source, target, form, optimizer, augment
):
    config, chosen = defaults.completed(unset(), [source], [target])
    assert (config.encoder.form, config.optimizer) == (form, optimizer)
    assert config.data.augment == augment
    assert (
        f"the {form} form of the small encoder, optimizer {optimizer}, "
        f"augmentation {augment}"
    ) in chosen
    assert config.finetuning.learning_rates
    assert config.generalist.learning_rate == 0  # found by the run


def test_an_optimizer_that_is_given_has_its_own_rates():
    given = unset()
    given.optimizer = "adamw"
    config, _ = defaults.completed(given, [survey()], [survey()])
    rates = config.finetuning.learning_rates
    assert rates == optimizers.RECIPES["adamw"].target


@pytest.mark.parametrize(
    ("source", "target", "encoder", "expected"),
    [
        (survey(side=28), survey(side=8), "small", (12, 1)),
        (survey(side=28), survey(side=16), "small", (16, 1)),
        (survey(side=28), photographs(side=32), "small", (28, 3)),
        (photographs(side=32), survey(side=28), "small", (28, 1)),
        (photographs(side=400), photographs(side=300), "small", (64, 3)),
        (photographs(side=400), photographs(side=300), "VGG16", (224, 3)),
        (photographs(side=400), survey(side=100), "VGG16", (100, 3)),
        (survey(side=8), survey(side=8), "VGG16", (32, 3)),
    ],
)
def test_images_are_as_large_and_coloured_as_the_data(
    source, target, encoder, expected
):
    config, chosen = defaults.completed(unset(encoder), [source], [target])
    assert (config.data.image_size, config.data.channels) == expected
    assert f"{expected[0]}x{expected[0]} pixels" in chosen[0]


def test_the_smallest_of_several_sources_counts():
    sources = [photographs(side=64), photographs(side=32)]
    config, _ = defaults.completed(unset(), sources, [photographs()])
    assert config.data.image_size == 32


@pytest.mark.parametrize(
    ("count", "side", "weights", "steps", "passes"),
    [
        (1_000, 28, "", 750, 48.0),  # at least 48,000 images
        (20_000, 28, "", 940, 3.008),  # three passes
        (1_000_000, 28, "", 4_000, 0.256),  # at most 256,000
        (20_000, 64, "", 470, 1.504),  # half as many, as they are larger
        (1_000, 64, "imagenet", 150, 9.6),
    ],
)
def test_steps_follow_from_the_size_of_the_source(
    count, side, weights, steps, passes
):
    config = unset(weights=weights)
    source = photographs(count, side)
    config, chosen = defaults.completed(config, [source], [photographs()])
    assert config.generalist.steps == config.pretraining.steps == steps
    assert steps * config.generalist.batch_size == passes * count
    assert f"generalist: {steps:,} steps of 64 images" in chosen[2]


@pytest.mark.parametrize(
    ("labels", "batch", "steps"),
    [
        (12, 4, 80),
        (16, 8, 80),
        (100, 32, 80),
        (600, 32, 460),
        (10_000, 32, 1_000),
        (0, 4, 80),
    ],
)
def test_fine_tuning_follows_from_the_labels(labels, batch, steps):
    config, _ = defaults.completed(unset(), [survey()], [survey(labels)])
    stage = config.finetuning
    assert (stage.batch_size, stage.steps) == (batch, steps)


def test_a_share_of_the_labels_is_for_the_test_part():
    target = dataclasses.replace(survey(750), has_test=False)
    _, chosen = defaults.completed(unset(), [survey()], [target])
    assert chosen[-1].endswith("on 600 labelled ones")
    config = unset()
    config.data.labels_per_class = 7
    _, chosen = defaults.completed(config, [survey()], [target])
    assert chosen[-1].endswith("on 70 labelled ones")


def test_what_is_given_stays_and_is_not_told():
    given = Experiment()
    given.data.image_size, given.data.channels = 40, 1
    for stage in (given.generalist, given.pretraining, given.finetuning):
        stage.steps, stage.batch_size = 7, 3
    given.encoder.form, given.optimizer = "flat", "adamw"
    given.data.augment = "none"
    given.finetuning.learning_rates = (0.1,)
    data = [photographs()], [photographs(96)]
    assert defaults.completed(given, *data) == (given, [])
    given.finetuning.steps = given.data.labels_per_class = 0
    config, chosen = defaults.completed(given, *data)
    assert config.finetuning.steps == 800
    assert config.finetuning.batch_size == 3
    assert chosen[0].startswith("finetuning: 800 steps of 3 images on 96")
    assert given.finetuning.steps == 0


def test_a_trained_encoder_is_suggested_for_photographs():
    for target, suggested in ((photographs(), True), (survey(), False)):
        _, chosen = defaults.completed(unset(), [photographs()], [target])
        assert ("encoder.weights=imagenet" in chosen[-1]) is suggested
    _, chosen = defaults.completed(
        unset("MobileNetV2"), [photographs()], [photographs()]
    )
    assert "encoder.weights=imagenet" not in chosen[-1]


def test_passes_become_steps_of_what_is_trained_on():
    config = Experiment()
    config.generalist = Training(passes=0.25, batch_size=64)
    config.pretraining = Training(steps=300, batch_size=32)
    config.l2tl.passes = 0.001
    done, lines = defaults.budgeted(config, 50_000)
    # 12,500 images are 195.3 batches; epochs are tenths of a stage.
    assert (done.generalist.steps, done.pretraining.steps) == (200, 300)
    assert done.l2tl.steps == 2
    assert lines[0] == (
        "generalist: 0.25 passes over 50,000 source images, 200 steps of 64"
    )
    assert defaults.budgeted(done, 50_000)[0] == done
    done.generalist.steps = 100
    with pytest.raises(InputError, match=r"not both\. Received: 100 and 0"):
        defaults.budgeted(done, 50_000)
