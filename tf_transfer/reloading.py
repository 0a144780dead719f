"""The data of a finished run, loaded again by name."""

from typing import Any

from tf_transfer import data, splits
from tf_transfer.data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.splits import TargetSplit


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
    name, settings = names[part], config["data"]
    if name is None:
        raise InputError(
            f"The run was given its {part} as arrays, which cannot be loaded "
            f"again. Received: {part}"
        )
    found = data.load(
        name,
        settings["image_size"],
        settings["channels"],
        settings["align"],
        settings["max_pixels"],
    )
    if settings.get(f"{part}_classes"):
        found = found.only(settings[f"{part}_classes"])
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
