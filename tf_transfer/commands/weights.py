"""The command `weights`: a first look at the importance weights."""

import os

from tf_transfer.commands.compare import _load, _splits, _weight_rows
from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.experiment import weights_file
from tf_transfer.experiment.compiled_models import CompiledModels
from tf_transfer.experiment.run_folder import RunFolder
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.report import figures
from tf_transfer.report.text import verdict
from tf_transfer.training import distribution
from tf_transfer.utils.progress import Progress


def estimate_weights(
    config: Experiment,
    out: str | os.PathLike,
    *,
    source: ImageData | None = None,
    target: ImageData | None = None,
    quiet: bool = False,
) -> str:
    """Estimates the importance weights of the first seed and stops there.

    Args, errors: as `compare`.

    Returns:
        A plain verdict in a few lines.
    """
    source, target, prints = _load(config, source, target, quiet)
    split = _splits(config, target, [0])[0]
    bench = CompiledModels.of(config, source, target)
    chief = distribution.is_chief(bench.strategy)
    with (
        RunFolder(out, config, prints, writes=chief) as folder,
        folder.alone(),
    ):
        steps = 0 if config.generalist_path else config.generalist.steps
        progress = Progress(steps, quiet or not chief)
        progress.start("generalist")
        trial = SeedRun(bench, source, split, 0, folder, progress.advance)
        rows = _weight_rows(trial)
        right = trial.source_accuracy  # all workers take part
        folder.forget_stages(seed=0)
        progress.close()
        if chief:
            weights_file.write(folder.path, rows)
            figures.write_weights(folder.path, rows, source, split.labelled)
        found = trial.estimated.diagnostics(
            trial.target_prior.prior, trial.source.prior
        )
        return verdict(rows, found, right)
