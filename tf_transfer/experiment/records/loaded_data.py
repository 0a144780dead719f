"""The images of a run, by the names in its settings."""

from typing import Any

from tf_transfer.config import Data, Experiment
from tf_transfer.data import image_data, loading, splits
from tf_transfer.data import unlabelled as unlabelled_images
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import source_clusters
from tf_transfer.experiment.records.run_data import Run


def whole(settings: Data, part: str, data: ImageData | str) -> ImageData:
    """Returns the whole source or target, with the configured classes.

    Args:
        settings: of the data.
        part: `"source"` or `"target"`.
        data: the images, or their name.
    """
    if isinstance(data, str):
        data = loading.load(data, **_framing(settings))
    classes = getattr(settings, f"{part}_classes")
    return data.only(classes) if classes else data


def whole_source(config: Experiment, data: ImageData | str) -> ImageData:
    """Returns the whole source, with its labels or with clusters instead.

    Args:
        config: the experiment.
        data: the images, or their name; without labels if they are clustered.
    """
    settings = config.data
    if settings.source_labels == "given":
        return whole(settings, "source", data)
    if isinstance(data, str):
        framing = _framing(settings)
        parts = [
            unlabelled_images.load_both("", part, **framing)[1]
            for part in loading.part_names(data)
        ]
        data = image_data.join(parts)
    return source_clusters.clustered(data, config)


def whole_target(
    settings: Data,
    target: ImageData | str,
    unlabelled: ImageData | str,
) -> tuple[ImageData | None, ImageData | None]:
    """Returns the target, and more images of it that have no labels.

    Args:
        settings: of the data.
        target: the labelled images, or their name; `""` if there are none.
        unlabelled: the others, or their name; `""` if there are none.

    Returns:
        Both, framed; None for what there is not.
    """
    if isinstance(unlabelled, str) and unlabelled:
        names = target if isinstance(target, str) else "", unlabelled
        both = unlabelled_images.load_both(*names, **_framing(settings))
        target, unlabelled = target if not names[0] else both[0], both[1]
    if target:
        target = whole(settings, "target", target)
    return target or None, unlabelled or None


def _framing(settings: Data) -> dict[str, Any]:
    """Returns the arguments of `loading.load` for settings."""
    return {
        "size": settings.image_size,
        "channels": settings.channels,
        "align": settings.align,
        "max_pixels": settings.max_pixels,
        "damaged": settings.damaged,
        "memory_share": settings.memory_share,
        "cache": settings.cache,
        "decode": settings.decode,
    }


def reload(run: Run, part: str) -> ImageData:
    """Returns the whole source or target of a run.

    Args:
        run: the run.
        part: `"source"` or `"target"`.

    Raises:
        InputError: if the data were given as arrays, are absent, or have
            changed since.
    """
    name = getattr(run.data, part)
    if name is None:
        raise InputError(
            f"The run was given its {part} as arrays, which cannot be loaded "
            f"again. Received: {part}"
        )
    settings = run.config.data
    if part == "target":
        data, _ = whole_target(settings, name, settings.unlabelled)
    else:
        data = whole_source(run.config, name)
    if data.fingerprint() != run.fingerprints.get(part):
        raise InputError(
            f"The {part} is no longer the data of the run. Received: {name!r}"
        )
    return data


def split(run: Run, target: ImageData, seed: int) -> TargetSplit:
    """Returns the parts of the target that one seed of a run was given."""
    settings = run.config.data
    return splits.split_target(
        target,
        settings.labels_per_class,
        settings.validation_per_class,
        seed,
        test_share=settings.test_share,
        folds=splits.folds_of(run.config.seeds),
    )
