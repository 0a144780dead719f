"""Uses the generalists of an earlier run again, for another target."""

import dataclasses
import os
import shutil
from collections.abc import Collection

from tf_transfer.config import Experiment
from tf_transfer.errors import InputError
from tf_transfer.experiment.methods.base import GENERALIST
from tf_transfer.experiment.records import (
    forecast,
    label_check,
    stored_config,
)
from tf_transfer.experiment.records.run_data import Run
from tf_transfer.experiment.records.run_folder import (
    RunFolder,
    model_name,
    predictions_name,
)
from tf_transfer.experiment.stages import rates
from tf_transfer.utils.storage.folders import Folder

# What a generalist depends on.
_SETTINGS = ("encoder", "generalist", "generalist_path", "optimizer")
_DATA = (
    "source",
    "source_classes",
    "source_per_class",
    "image_size",
    "channels",
    "align",
    "max_pixels",
    "damaged",
    "augment",
)


def take_over(
    folder: RunFolder,
    earlier: str | os.PathLike,
    config: Experiment,
    fingerprints: dict[str, str],
) -> None:
    """Copies the generalists, and the rate that was found, of an earlier run.

    A seed's generalist depends on the source alone, so that the results are
    those of a run that trains it itself.

    Args:
        folder: of the new run. What is there already stays.
        earlier: the folder of a run of `compare` or `weights`.
        config: of the new run, complete.
        fingerprints: of its data.

    Raises:
        InputError: if the earlier run had another source, or other settings
            that a generalist depends on.
    """
    if not folder.writes:
        return
    run = Run.read(earlier)
    changes = stored_config.differences(
        _relevant(run.config), _relevant(config)
    )
    if run.fingerprints.get("source") != fingerprints["source"]:
        changes = ["its source was another"]
    if changes:
        raise InputError(
            "The generalists of an earlier run need the same source and "
            f"settings ({changes[0]}). Received: {run.path}"
        )
    models = [model_name(GENERALIST, seed) for seed in range(config.seeds)]
    _copy(folder, run.files, rates.NAME, *models)


def take_results(
    folder: RunFolder, earlier: str | os.PathLike, methods: Collection[str]
) -> None:
    """Copies finished results, with their models, from another folder.

    Args:
        folder: of the new run. What is there already stays.
        earlier: the folder of a run with the same data and settings, but more
            methods.
        methods: whose results are copied.
    """
    run = Run.read(earlier)
    for result in run.results:
        method, seed = result.method, result.seed
        own = model_name(method, seed), predictions_name(method, seed)
        if method not in methods or folder.result(method, seed):
            continue
        if not all(map(run.files.has, own)):
            continue  # it is trained again
        found = rates.NAME, forecast.NAME, label_check.NAME
        shared = *found, model_name(GENERALIST, seed)
        folder.files.make("predictions")
        _copy(folder, run.files, *shared, *own)
        folder.add(result)


def _copy(folder: RunFolder, files: Folder, *names: str) -> None:
    """Copies the files that are there, and not in the run's folder yet."""
    for name in names:
        if files.has(name) and not folder.has(name):
            with folder.files.replacing(name) as partial:
                shutil.copyfile(files.below(name), partial)


def _relevant(config: Experiment) -> dict:
    """Returns the settings that a generalist depends on."""
    content = dataclasses.asdict(config)
    data = {name: content["data"][name] for name in _DATA}
    return {name: content[name] for name in _SETTINGS} | {"data": data}
