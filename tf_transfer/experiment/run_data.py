"""The data of a run by name, also of one that is finished."""

import hashlib
import pathlib
from typing import Any

from tf_transfer.config import Experiment
from tf_transfer.data import image_data, splits
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.errors import InputError
from tf_transfer.experiment.run_folder import FinishedRun


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
        given = image_data.load(
            given,
            settings["image_size"],
            settings["channels"],
            settings["align"],
            settings["max_pixels"],
        )
    classes = settings.get(f"{part}_classes")
    return given.only(classes) if classes else given


def fingerprints(
    config: Experiment, source: ImageData, target: ImageData
) -> dict[str, str]:
    """Returns hashes of the data, and of the files that models come from."""
    prints = {"source": source.fingerprint(), "target": target.fingerprint()}
    files = {
        "generalist": config.generalist_path,
        "encoder": config.encoder.weights,
    }
    for name, path in files.items():
        if pathlib.Path(path).is_file():
            digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
            prints[name] = digest[:16]
    return prints


def reload(run: FinishedRun, part: str) -> ImageData:
    """Returns the whole source or target of a run.

    Args:
        run: of which.
        part: `"source"` or `"target"`.

    Raises:
        InputError: if it was given as arrays, is gone, or has changed since.
    """
    name = run.data[part]
    if name is None:
        raise InputError(
            f"The run was given its {part} as arrays, which cannot be loaded "
            f"again. Received: {part}"
        )
    found = whole(run.config["data"], part, name)
    if found.fingerprint() != run.config["fingerprints"][part]:
        raise InputError(
            f"The {part} is no longer the data of the run. Received: {name!r}"
        )
    return found


def split(run: FinishedRun, target: ImageData, seed: int) -> TargetSplit:
    """Returns the parts of the target that a seed of a run had."""
    settings = run.config["data"]
    return splits.split_target(
        target,
        settings["labels_per_class"],
        settings["validation_per_class"],
        seed,
    )
