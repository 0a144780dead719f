"""Whole experiments: methods and controls compared over seeds."""

import dataclasses
import os
import warnings
from collections.abc import Iterable

import numpy as np

from tf_transfer.commands import export
from tf_transfer.config import Experiment
from tf_transfer.data import splits
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.datl import shaping
from tf_transfer.errors import InputError
from tf_transfer.experiment import (
    config_checks,
    run_data,
    statistics,
    weights_file,
)
from tf_transfer.experiment.methods.all_methods import METHODS, unfinished
from tf_transfer.experiment.run_folder import RunFolder
from tf_transfer.experiment.runner import Runner
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.report import figures, html
from tf_transfer.report.text import ignorance
from tf_transfer.training import distribution, tensorboard
from tf_transfer.utils import processes
from tf_transfer.utils.progress import note, warn

_WITHOUT_TENSORBOARD = (
    "going on without TensorBoard; to watch the training in it: "
    "pip install 'tf_transfer[tensorboard]'"
)


def compare(
    config: Experiment,
    out: str | os.PathLike,
    *,
    source: ImageData | None = None,
    target: ImageData | None = None,
    quiet: bool = False,
    jobs: int = 1,
) -> list[statistics.Row]:
    """Runs methods and controls over seeds, and writes what came out.

    A second call with the same folder and configuration continues: finished
    methods and seeds are not run again, and of a finished run nothing is.

    Args:
        config: the experiment.
        out: the run's folder.
        source: labelled source images instead of `config.data.source`; see
            `from_dataset` for a `tf.data.Dataset`.
        target: labelled target images instead of `config.data.target`.
        quiet: print no progress.
        jobs: processes that train seeds side by side; a script that asks for
            several must call this under `if __name__ == "__main__":`.

    Returns:
        The rows of the closing table.

    Raises:
        InputError: for settings, data or a folder that cannot be used.

    Example:

    >>> from tf_transfer import config
    >>> images = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 1))
    >>> labels = np.arange(48) % 2
    >>> data = ImageData(images.astype(np.uint8), labels, ["cat", "dog"])
    >>> photos = data.take(np.arange(24))
    >>> drawings = data.take(np.arange(24, 48))
    >>> settings = Experiment(
    ...     data=config.Data(labels_per_class=3, validation_per_class=1),
    ...     encoder=config.Encoder(width=4),
    ...     finetuning=config.FineTuning(steps=1, learning_rates=(0.02,)),
    ...     methods=("scratch",), seeds=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = compare(
    ...         settings, folder, source=photos, target=drawings, quiet=True)
    >>> [row.method for row in rows]
    ['scratch']
    """
    given = {"source": source, "target": target}
    _check_jobs(jobs, config.strategy)
    source, target, prints = _load(config, source, target, quiet)
    names = {
        part: getattr(config.data, part) if images is None else None
        for part, images in given.items()
    }
    chief = distribution.is_chief(distribution.strategy(config.strategy))
    with (
        RunFolder(out, config, prints, writes=chief) as folder,
        folder.alone(),
    ):
        seeds = range(config.seeds)
        waiting = [seed for seed in seeds if unfinished(config, folder, seed)]
        if not waiting and (folder.path / html.NAME).exists():
            return statistics.summary(folder.results, config.methods)
        if not (quiet or tensorboard.installed()):
            note(_WITHOUT_TENSORBOARD)
        # For all seeds, before anything is trained.
        parts = _splits(config, target, seeds)
        splits.check_apart(source, parts[0].test)
        jobs = min(jobs, len(waiting))
        if jobs > 1:
            shares = [waiting[i::jobs] for i in range(jobs)]
            calls = [(config, out, given, quiet, share) for share in shares]
            processes.side_by_side(_train_some, calls)
            folder.refresh()
        table = []
        rounds = Runner(config, folder, source, target, parts, quiet)
        for trial in rounds.run():
            if set(config.methods) != {"scratch"}:
                learned = folder.result("l2tl", trial.seed)
                table += _weight_rows(trial, learned and learned.weights)
                if trial.seed == 0:
                    right = trial.source_accuracy  # all workers take part
                    unsure = ignorance(right, trial.source.num_classes)
                    if unsure and chief:
                        warn(unsure)
            del trial  # with its states, before the next one is trained
        rows = statistics.summary(folder.results, config.methods)
        if chief:
            first = parts[0].labelled
            if table:
                weights_file.write(folder.path, table)
                figures.write_weights(folder.path, table, source, first)
            figures.write_curves(folder.path, folder.results)
            _export_best(folder, target, names)
            html.write(folder.path, source, target)
        return rows


def _check_jobs(jobs: int, strategy: str) -> None:
    alone = strategy == "none" or jobs == 1
    if type(jobs) is not int or jobs < 1 or not alone:
        raise InputError(
            "`jobs` must be at least 1, and 1 with a strategy that uses "
            f"several devices. Received: {jobs=}, {strategy=}"
        )


def _train_some(config: Experiment, out, given: dict, quiet: bool, seeds):
    """Trains some of the seeds, in a process of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the calling process has warned
        source, target, prints = _load(config, **given, quiet=True)
    parts = _splits(config, target, seeds)
    with RunFolder(out, config, prints) as folder:
        for _ in Runner(config, folder, source, target, parts, quiet).run():
            pass


def _check(config: Experiment) -> None:
    config_checks.check(config)
    shaping.check_shaping(
        config.datl.temper,
        config.datl.clip or None,
        config.datl.floor,
        config.datl.top_k or None,
    )
    unknown = [name for name in config.methods if name not in METHODS]
    if unknown or not config.methods:
        raise InputError(
            f"Unknown method; choose from {', '.join(METHODS)}, several as "
            "--config.methods=\"('finetune','datl')\". "
            f"Received: {unknown[0] if unknown else config.methods!r}"
        )


def _load(
    config: Experiment,
    source: ImageData | None,
    target: ImageData | None,
    quiet: bool,
) -> tuple[ImageData, ImageData, dict[str, str]]:
    """Checks the settings, and returns source, target and fingerprints."""
    _check(config)
    for given in (source, target):
        if not isinstance(given, ImageData | None):
            raise InputError(
                "`source` and `target` must be ImageData, such as "
                "`from_dataset` returns; both can be named in the config. "
                f"Received: {type(given).__name__}"
            )
    # A cluster must be joined before anything is computed.
    distribution.strategy(config.strategy)
    if not quiet:
        note("loading the data")
    # The target first: it is small, and its mistakes show at once.
    settings = config.data
    target = run_data.whole(settings, "target", target or settings.target)
    source = run_data.whole(settings, "source", source or settings.source)
    _check_pair(config, source, target)
    _check_devices(config, target)
    prints = run_data.fingerprints(config, source, target)
    source = splits.trained_on(source, config.data.source_per_class)
    empty = np.flatnonzero(source.prior == 0)
    if empty.size:
        warnings.warn(
            f"{empty.size} source classes have no examples and get weight 0, "
            f"for example {source.class_names[empty[0]]!r}.",
            stacklevel=3,
        )
    return source, target, prints


def _check_pair(
    config: Experiment, source: ImageData, target: ImageData
) -> None:
    if target.num_classes < 2:
        raise InputError(
            "The target must have at least two classes. "
            f"Received: {', '.join(target.class_names)}"
        )
    missing = set(config.relevant) - set(source.class_names)
    if missing:
        raise InputError(
            f"`relevant` must name source classes. Received: {min(missing)!r}"
        )
    if source.images.shape[1:] != target.images.shape[1:]:
        raise InputError(
            "Source and target images must have one shape. Received: "
            f"{source.images.shape[1:]} and {target.images.shape[1:]}"
        )


def _check_devices(config: Experiment, target: ImageData) -> None:
    """Refuses what the policy's credit could not share out to the devices."""
    count = config.data.validation_per_class * target.num_classes
    devices = distribution.strategy(config.strategy).num_replicas_in_sync
    learns = "l2tl" in config.methods and config.l2tl.credit == "feature"
    if learns and count % devices:
        raise InputError(
            "For `l2tl` the validation images, `data.validation_per_class` of "
            "each target class, must divide by the devices. "
            f"Received: {count} for {devices}"
        )


def _splits(
    config: Experiment, target: ImageData, seeds: Iterable[int]
) -> dict[int, TargetSplit]:
    """Returns the target's parts of every seed, with one test part for all."""
    settings, found = config.data, {}
    for seed in seeds:
        split = splits.split_target(
            target,
            settings.labels_per_class,
            settings.validation_per_class,
            seed,
        )
        test = next(iter(found.values()), split).test  # no copy for each
        found[seed] = dataclasses.replace(split, test=test)
    return found


def _export_best(
    folder: RunFolder, target: ImageData, names: dict[str, str | None]
) -> None:
    """Exports the chosen method's best seed, by validation accuracy."""
    export.write_data(folder, target, names)
    if not (folder.path / "export" / "1").exists():
        export.export(folder.path)


def _weight_rows(
    trial: SeedRun, learned: list[float] | None = None
) -> list[dict]:
    """Returns one row per source class: priors, interval and weights."""
    estimate = trial.target_prior
    low, high = estimate.interval
    columns = {
        "class": trial.source.class_names,
        "source_prior": trial.source.prior,
        "target_prior": estimate.prior,
        "target_prior_low": low,
        "target_prior_high": high,
        "weight": trial.estimated.numpy().astype(float),
    }
    if learned is not None:
        columns["l2tl_weight"] = learned
    return [
        {"seed": trial.seed, "class_id": i}
        | dict(zip(columns, values, strict=True))
        for i, values in enumerate(zip(*columns.values(), strict=True))
    ]
