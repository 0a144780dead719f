"""The data of a run by name, also of one that is finished."""

from typing import Any

from tf_transfer import data, splits
from tf_transfer.data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.splits import TargetSplit


def whole(
    settings: dict[str, Any], part: str, given: ImageData | str
) -> ImageData:
    """Returns the whole source or target, as the settings shape it.

    Args:
        settings: the fields of `config.Data`.
        part: `"source"` or `"target"`.
        given: the images, or the name of the data.
    """
    if isinstance(given, str):
        given = data.load(
            given,
            settings["image_size"],
            settings["channels"],
            settings["align"],
            settings["max_pixels"],
        )
    classes = settings.get(f"{part}_classes")
    return given.only(classes) if classes else given


def reload(
    config: dict[str, Any], names: dict[str, Any], part: str
) -> ImageData:
    """Returns the whole source or target of a run.

    Args:
        config: of the run's `config.json`.
        names: of its `data.json`.
        part: `"source"` or `"target"`.

    Raises:
        InputError: if it was given as arrays, is gone, or has changed since.
    """
    name = names[part]
    if name is None:
        raise InputError(
            f"The run was given its {part} as arrays, which cannot be loaded "
            f"again. Received: {part}"
        )
    found = whole(config["data"], part, name)
    if found.fingerprint() != config["fingerprints"][part]:
        raise InputError(
            f"The {part} is no longer the data of the run. Received: {name!r}"
        )
    return found


def split(config: dict[str, Any], target: ImageData, seed: int) -> TargetSplit:
    """Returns the parts of the target that a seed of a run had."""
    settings = config["data"]
    return splits.split_target(
        target,
        settings["labels_per_class"],
        settings["validation_per_class"],
        seed,
    )
