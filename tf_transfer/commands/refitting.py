"""Trains a finished run's method again, with all labelled target images."""

import dataclasses
import pathlib
import shutil
import tempfile

import keras
import numpy as np

from tf_transfer.data import splits
from tf_transfer.experiment.compiled_models import CompiledModels
from tf_transfer.experiment.methods import METHODS
from tf_transfer.experiment.methods.base import GENERALIST
from tf_transfer.experiment.records import loaded_data
from tf_transfer.experiment.records.results import Result
from tf_transfer.experiment.records.run_data import FinishedRun
from tf_transfer.experiment.records.run_folder import RunFolder, model_name
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.stages import rates
from tf_transfer.utils.progress import note


def refit(run: FinishedRun, result: Result) -> tuple[keras.Model, int]:
    """Trains a method again, also with the images of the test part.

    It starts at the generalist of the result's seed, and uses the learning
    rate that the validation images chose. The run's folder is not changed.

    Args:
        run: the run, whose data can be loaded.
        result: of the method and the seed.

    Returns:
        The target model, and the number of labelled images it was trained
        with.

    Raises:
        InputError: if the data were given as arrays, are absent, or have
            changed since.
    """
    settings = run.config.data
    source = loaded_data.reload(run, "source")
    source = splits.trained_on(source, settings.source_per_class)
    target = loaded_data.reload(run, "target")
    unlabelled = None
    if settings.unlabelled:  # framed together with the target
        _, unlabelled = loaded_data.whole_target(
            settings, settings.target, settings.unlabelled
        )
    everything = target.take(np.arange(len(target.labels)))
    split = dataclasses.replace(
        loaded_data.split(run, target, result.seed),
        labelled=everything,
        unlabelled=unlabelled,
    )
    tuning = dataclasses.replace(
        run.config.finetuning, learning_rates=(result.learning_rate,)
    )
    config = dataclasses.replace(run.config, finetuning=tuning, strategy="none")
    count = len(everything.labels)
    note(f"training again with all {count:,} labelled target images")
    models = CompiledModels.of(config, source, target)
    with (
        tempfile.TemporaryDirectory() as temporary,
        RunFolder(pathlib.Path(temporary, "run"), config) as folder,
    ):
        for name in (model_name(GENERALIST, result.seed), rates.NAME):
            if run.files.has(name):
                shutil.copyfile(run.files.below(name), folder.path_of(name))
        head = result.head or "related"
        seed_run = SeedRun(
            models,
            source,
            split,
            result.seed,
            folder,
            lambda steps: None,
            head,
            source_rate=rates.read(folder) or 0.0,
        )
        outcome = METHODS[result.method](seed_run)
    models.target.assign(outcome.state)
    return models.target.model, count
