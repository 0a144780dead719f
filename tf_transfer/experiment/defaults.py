"""Settings that are not given follow from the data.

A size, number of channels, batch size or number of steps of 0 stands for what
this module finds, and so do `auto` and an empty list of rates. The settings
that a run's folder keeps are complete.
"""

import copy
import dataclasses
from collections.abc import Sequence

from tf_transfer.config import Experiment
from tf_transfer.data.raw.survey import Survey
from tf_transfer.errors import InputError
from tf_transfer.experiment.stages import optimizers
from tf_transfer.utils.messages import short_number

_SIDES = {"small": (12, 64), "other": (32, 224)}
_CENTRED_SIDE = 32  # up to which a dense layer learns each place
_SOURCE_BATCH = 64
_LARGE_SIDE = 128  # from which half a batch has to do
_TARGET_BATCHES = (32, 16, 8, 4)
_PASSES = 3  # over a source that is neither small nor large
_IMAGES = {"random": (48_000, 256_000), "trained": (9_600, 38_400)}
_CHEAP_SIDE = 32  # of images with a larger one, fewer are seen
_TARGET_PASSES = 25
_TARGET_STEPS = (80, 1_000)
_TENTHS = 10  # a stage has ten epochs


def completed(
    config: Experiment, source: Sequence[Survey], target: Sequence[Survey]
) -> tuple[Experiment, list[str]]:
    """Fills in the settings that are left to the data.

    Args:
        config: the experiment; it is not changed.
        source: of the data sets that are joined as the source.
        target: of those that are joined as the target.

    Returns:
        The complete settings, and a sentence for each kind of choice.

    Example:

    >>> scans = Survey(count=1500, classes=10, has_test=True, side=28,
    ...                coloured=False, plain=True)
    >>> complete, chosen = completed(Experiment(), [scans], [scans])
    >>> complete.data.image_size, complete.data.channels
    (28, 1)
    """
    config = copy.deepcopy(config)
    chosen = [
        *_images(config, source, target),
        *_model(config, [*source, *target]),
        *_source_stages(config, sum(part.count for part in source)),
        *_fine_tuning(config, _labels(config, target)),
    ]
    photographs = any(part.coloured and not part.plain for part in target)
    if photographs and config.encoder.name == "small" and chosen:
        chosen.append(
            "the target holds photographs, which a trained encoder may know "
            "better: --config.encoder.name=MobileNetV3Small "
            "--config.encoder.weights=imagenet"
        )
    return config, chosen


def _labels(config: Experiment, target: Sequence[Survey]) -> int:
    """Returns the number of labelled target images of one seed."""
    per_class, test_share = config.data.labels_per_class, config.data.test_share
    if per_class:
        return sum(per_class * part.classes for part in target)
    counts = (
        part.count * (1 if part.has_test else 1 - test_share) for part in target
    )
    return round(sum(counts))


def _images(
    config: Experiment, source: Sequence[Survey], target: Sequence[Survey]
) -> list[str]:
    """Sets size and channels: those of the smallest, and of the target."""
    data, small = config.data, config.encoder.name == "small"
    if data.image_size and data.channels:
        return []
    if not data.image_size:
        least, most = _SIDES["small" if small else "other"]
        side = min(survey.side for survey in [*source, *target])
        data.image_size = max(least, min(side, most))
    if not data.channels:
        coloured = any(part.coloured for part in target)
        data.channels = 3 if coloured or not small else 1
    kind = "colour" if data.channels == 3 else "grey"
    return [f"{kind} images of {data.image_size}x{data.image_size} pixels"]


def _model(config: Experiment, surveys: Sequence[Survey]) -> list[str]:
    """Sets the small encoder's form, augmentation, optimizer and its rates.

    `tests/benchmarks/recipes.py` measures them.
    """
    encoder, chosen = config.encoder, []
    small = encoder.name == "small" and not config.generalist_path
    drawings = all(part.plain and not part.coloured for part in surveys)
    if encoder.form == "auto":
        centred = drawings and config.data.image_size <= _CENTRED_SIDE
        encoder.form = "flat" if centred else "pooled"
        if small:
            chosen.append(f"the {encoder.form} form of the small encoder")
    if config.optimizer == "auto":
        pooled = small and encoder.form == "pooled"
        config.optimizer = "muon" if pooled else "sgd"
        chosen.append(f"optimizer {config.optimizer}")
    if config.data.augment == "auto":
        config.data.augment = "none" if drawings else "flip_crop"
        chosen.append(f"augmentation {config.data.augment}")
    if not config.finetuning.learning_rates:
        recipe = optimizers.RECIPES[config.optimizer]
        config.finetuning.learning_rates = recipe.target
    return [", ".join(chosen)] if chosen else []


def _source_stages(config: Experiment, count: int) -> list[str]:
    """Sets batches and steps of the stages on `count` source images."""
    lines = []
    large = config.data.image_size >= _LARGE_SIDE
    for name in ("generalist", "pretraining"):
        stage = getattr(config, name)
        if stage.steps and stage.batch_size:
            continue
        if not stage.batch_size:
            stage.batch_size = _SOURCE_BATCH // (2 if large else 1)
        if stage.passes:
            continue  # see `budgeted`
        if not stage.steps:
            seen = _images_seen(config, count)
            tenth = -(-seen // (_TENTHS * stage.batch_size))
            stage.steps = _TENTHS * tenth
        passes = stage.steps * stage.batch_size / max(count, 1)
        lines.append(
            f"{name}: {stage.steps:,} steps of {stage.batch_size} images, "
            f"{short_number(passes)} passes over the source"
        )
    return lines


def budgeted(config: Experiment, count: int) -> tuple[Experiment, list[str]]:
    """Turns passes over the source into steps.

    Args:
        config: the settings, complete but for these steps; not changed.
        count: of the source images that are trained on.

    Returns:
        The settings, and a sentence for each such stage.

    Raises:
        InputError: if steps are set, too.
    """
    config, lines = copy.deepcopy(config), []
    batch = config.pretraining.batch_size
    for name in (field.name for field in dataclasses.fields(config)):
        stage = getattr(config, name)
        if not getattr(stage, "passes", 0):
            continue
        unset = type(stage)().steps
        size = getattr(stage, "batch_size", batch)
        steps = max(1, round(stage.passes * count / size))
        if steps >= _TENTHS**2:
            steps = round(steps / _TENTHS) * _TENTHS
        if stage.steps not in (unset, steps):
            raise InputError(
                f"Set `{name}.steps` or `{name}.passes`, not both. Received: "
                f"{stage.steps} and {stage.passes}"
            )
        stage.steps = steps
        lines.append(
            f"{name}: {stage.passes:g} passes over {count:,} source images, "
            f"{steps:,} steps of {size}"
        )
    return config, lines


def _images_seen(config: Experiment, count: int) -> int:
    """Returns how many images a stage on the source sees."""
    trained = bool(config.encoder.weights)
    least, most = _IMAGES["trained" if trained else "random"]
    seen = max(least, min(_PASSES * count, most))
    if trained:
        return seen
    return round(seen / max(1.0, config.data.image_size / _CHEAP_SIDE))


def _fine_tuning(config: Experiment, labels: int) -> list[str]:
    """Sets batches and steps of the training on labelled target images."""
    stage = config.finetuning
    if stage.steps and stage.batch_size:
        return []
    if not stage.batch_size:
        fitting = [size for size in _TARGET_BATCHES if 2 * size <= labels]
        stage.batch_size = fitting[0] if fitting else _TARGET_BATCHES[-1]
    if not stage.steps:
        least, most = _TARGET_STEPS
        steps = _TARGET_PASSES * labels // stage.batch_size
        stage.steps = max(least, min(steps, most)) // _TENTHS * _TENTHS
    return [
        f"finetuning: {stage.steps:,} steps of {stage.batch_size} images on "
        f"{labels:,} labelled ones"
    ]
