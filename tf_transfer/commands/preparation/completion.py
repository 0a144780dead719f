"""Settings that follow from the data; data of a program, framed by them."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from tf_transfer.config import Experiment
from tf_transfer.data import loading
from tf_transfer.data import unlabelled as unlabelled_images
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.raw import examples, loaders
from tf_transfer.data.raw.image_files import RawImages
from tf_transfer.data.raw.survey import Survey, survey
from tf_transfer.errors import InputError
from tf_transfer.experiment import defaults
from tf_transfer.models import classifiers

_EMBEDDED = "digits"


def shared_settings(config: Experiment, targets: Sequence[str]) -> Experiment:
    """Fills in what follows from the data, as it suits several targets.

    Args:
        config: the experiment.
        targets: names of their data, labelled or not.

    Returns:
        The settings with all that a generalist depends on.
    """
    config = copy.deepcopy(config)
    surveys = []
    for name in targets:
        config.data.target, config.data.unlabelled = "", name
        surveys += _surveys(config, "unlabelled", None)
    source = [*_surveys(config, "source", None)]
    complete, _ = defaults.completed(config, source, surveys)
    for name in ("image_size", "channels", "augment"):
        setattr(config.data, name, getattr(complete.data, name))
    config.encoder.form = complete.encoder.form
    config.optimizer = complete.optimizer
    return config


def with_target(config: Experiment, target: Any, unlabelled: Any) -> Experiment:
    """Names the embedded target, unless there is another.

    Args:
        config: the experiment; it is not changed.
        target: the target that a program gives, or None.
        unlabelled: more images of it, or None.
    """
    named = config.data.target or config.data.unlabelled
    if named or target is not None or unlabelled is not None:
        return config
    config = copy.deepcopy(config)
    config.data.target = _EMBEDDED
    return config


def framed(
    config: Experiment, **arrays: Any
) -> tuple[Experiment, dict[str, ImageData | None]]:
    """Frames the data that a program gives as it is.

    Args:
        config: the experiment.
        **arrays: by part, `ImageData`, what `from_dataset` takes, or None.

    Returns:
        The settings with size and channels, where they were needed; and the
        framed data.

    Raises:
        InputError: if they are of another type, or cannot be framed.
    """
    raw = {
        part: examples.read(data)
        for part, data in arrays.items()
        if not isinstance(data, ImageData | None)
    }
    if not raw:
        return config, arrays
    if "unlabelled" in raw:  # it must be measured together with the target
        raise InputError(
            "`unlabelled` must be ImageData, or be named in the config. "
            f"Received: {type(arrays['unlabelled']).__name__}"
        )
    config = copy.deepcopy(config)
    settings = config.data
    if not (settings.image_size and settings.channels):
        given = arrays | raw
        named = with_target(config, given["target"], given["unlabelled"])
        complete, _ = completed(named, **given)
        settings.image_size = complete.data.image_size
        settings.channels = complete.data.channels
    return config, arrays | {
        part: loading.frame(
            each,
            settings.image_size,
            settings.channels,
            settings.align,
            name=part,
            memory_share=settings.memory_share,
            cache=settings.cache,
            decode=settings.decode,
        )
        for part, each in raw.items()
    }


def completed(
    config: Experiment,
    source: ImageData | None,
    target: ImageData | None,
    unlabelled: ImageData | None,
) -> tuple[Experiment, list[str]]:
    """Fills in the settings that follow from the data; see `defaults`."""
    config = copy.deepcopy(config)
    framed_already = [
        data.images.shape
        for data in (target, source, unlabelled)
        if isinstance(data, ImageData)
    ]
    if framed_already:
        _, config.data.image_size, _, config.data.channels = framed_already[0]
    elif config.generalist_path:
        shape = classifiers.input_shape_of(config.generalist_path)
        if shape is not None:
            settings = config.data
            settings.image_size = settings.image_size or shape[0] or 0
            settings.channels = settings.channels or shape[2] or 0
    surveys = {
        "source": [*_surveys(config, "source", source)],
        "target": [*_surveys(config, "target", target)]
        or [*_surveys(config, "unlabelled", unlabelled)],
    }
    return defaults.completed(config, **surveys)


def _surveys(
    config: Experiment, part: str, data: ImageData | None
) -> Iterator[Survey]:
    """Yields a survey of each data set of source or target."""
    settings = config.data
    classes = getattr(settings, f"{part}_classes", ())
    if isinstance(data, ImageData):
        data = RawImages(data.images, data.labels, data.class_names, data.test)
    if data is not None:
        yield survey(data, part, classes)
        return
    load, without = loaders.load, part == "unlabelled"
    if without or (part == "source" and settings.source_labels != "given"):
        load = unlabelled_images.load
    names = getattr(settings, part)
    names = loading.part_names(names) if names else []
    found = []
    for name in names:
        raw = load(name, settings.max_pixels)
        used = bool({*classes} & {*raw.class_names})
        found.append((used, survey(raw, name, classes)))
    some = any(used for used, _ in found)
    yield from (each for used, each in found if used or not some)
