"""The command `weights`: a first look at the importance weights."""

import dataclasses
import os
from typing import Any

from tf_transfer.commands.preparation import completion, inputs, resources
from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.experiment import facts
from tf_transfer.experiment.compiled_models import CompiledModels
from tf_transfer.experiment.records import reuse
from tf_transfer.experiment.records.forecast import NAME
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.stages import rates
from tf_transfer.report import figures
from tf_transfer.report.verdict import verdict
from tf_transfer.training import distribution
from tf_transfer.utils.progress import Progress, alive


def estimate_weights(
    config: Experiment,
    out: str | os.PathLike,
    *,
    source: Any = None,
    target: Any = None,
    unlabelled: ImageData | None = None,
    quiet: bool = False,
    generalists: str | os.PathLike | None = None,
) -> str:
    """Estimates the importance weights for the first seed, and no more.

    It needs no labels of the target: the images of `unlabelled`, or of
    `config.data.unlabelled`, do. Labelled images are used if there are some;
    `config.data.target` may be empty. For arguments and errors, see `compare`.

    Returns:
        A verdict of a few lines.
    """
    with alive(quiet):
        inputs.check(config)
        config, arrays = completion.framed(
            config, source=source, target=target, unlabelled=unlabelled
        )
        loaded = inputs.load(
            config,
            **arrays,
            quiet=quiet,
            new=not os.path.exists(out),
            labels=False,
        )
        return _estimate(loaded, out, quiet, generalists)


def _estimate(
    loaded: inputs.Inputs,
    out: str | os.PathLike,
    quiet: bool,
    generalists: str | os.PathLike | None,
) -> str:
    """Does what `estimate_weights` does, with the data loaded."""
    config, source, target = loaded.config, loaded.source, loaded.target
    resources.check(config, source, target)
    if target.num_classes > 1:
        parts = inputs.split_target(config, target, [0], loaded.unlabelled)
        split = parts[0]
    else:
        # Without labels there is nothing to split.
        split = TargetSplit(*[target] * 4, loaded.unlabelled)
    models = CompiledModels.of(config, source, target)
    chief = distribution.is_chief(models.strategy)
    with RunFolder(
        out, config, loaded.fingerprints, writes=chief, alone=True
    ) as folder:
        if generalists:
            reuse.take_over(folder, generalists, config, loaded.fingerprints)
        steps = 0 if config.generalist_path else config.generalist.steps
        progress = Progress(steps, quiet or not chief)
        if not config.generalist.learning_rate:
            progress.start("learning rate")
        rate = rates.settle(
            models.source,
            lambda: models.random_state(seed=0),
            source,
            config.generalist,
            folder,
        )
        progress.start("generalist")
        run = SeedRun(
            models,
            source,
            split,
            0,
            folder,
            progress.advance,
            source_rate=rate,
        )
        table = WeightTable.from_run(run)
        accuracy = run.source_accuracy  # all workers take part
        folder.forget_stages(seed=0)
        progress.close()
        forecast = None
        if not config.generalist_path:  # else its passes are not known
            forecast = facts.forecast(run)
            folder.write(NAME, dataclasses.asdict(forecast))
        if chief:
            table.write_csv(folder.files)
            figures.write_weights(folder.files, table, source, split.for_prior)
        diagnostics = run.estimate_importance().diagnostics(
            run.estimate_target_prior().prior,
            run.source.prior,
            run.passes_drawn,
        )
        return verdict(table, diagnostics, accuracy, forecast)
