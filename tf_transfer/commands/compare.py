"""Whole experiments: methods and controls compared over seeds."""

import dataclasses
import functools
import os
import sys
import warnings
from typing import Any

from tf_transfer.commands import export, teaching
from tf_transfer.commands import search as searching
from tf_transfer.commands.preparation import completion, inputs, resources
from tf_transfer.config import Experiment
from tf_transfer.data import check, splits
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.errors import InputError
from tf_transfer.experiment import statistics
from tf_transfer.experiment.methods import METHODS, base
from tf_transfer.experiment.records import results, reuse, run_data
from tf_transfer.experiment.records.run_data import FinishedRun
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.experiment.runner import Runner, unfinished
from tf_transfer.report import figures, html, text
from tf_transfer.report.verdict import weak_generalist
from tf_transfer.training import distribution, tensorboard
from tf_transfer.utils import processes, progress, terminal
from tf_transfer.utils.progress import fact, note, warn

_WITHOUT_TENSORBOARD = (
    "going on without TensorBoard; to watch the training in it: "
    "pip install 'tf_transfer[tensorboard]'"
)


def compare(
    config: Experiment,
    out: str | os.PathLike,
    *,
    source: Any = None,
    target: Any = None,
    unlabelled: ImageData | None = None,
    quiet: bool = False,
    jobs: int = 1,
    generalists: str | os.PathLike | None = None,
    search: str = "all",
) -> list[statistics.Row]:
    """Runs methods and controls over seeds, and writes the results.

    A second call with the same folder and configuration continues where the
    first one stopped. It runs no finished method or seed again, and changes
    nothing in the folder of a finished run.

    Args:
        config: the experiment.
        out: the run's folder.
        source: labelled source images instead of `config.data.source`:
            `ImageData`, a `tf.data.Dataset`, or a source with `__len__` and
            `__getitem__`, of any size; see `from_dataset`.
        target: labelled target images instead of `config.data.target`,
            likewise.
        unlabelled: target images without labels, for the importance weights
            alone, instead of `config.data.unlabelled`.
        quiet: print no progress.
        jobs: processes that train seeds in parallel; a script that uses
            several must call this under `if __name__ == "__main__":`.
        generalists: the folder of an earlier run with the same source, whose
            generalists are used again.
        search: `halving` finds the method to use with fewer trainings: each
            seed drops the worse half of the methods; see
            `experiment.halving`. Only the one that is left and its baseline
            are then trained for all seeds; the others are in the folder
            `OUT-search`. `jobs` counts from then on. `all` trains all.

    Returns:
        The rows of the closing table.

    Raises:
        InputError: if the settings, the data or the folder cannot be used.

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
    _check_jobs(jobs, config.strategy)
    searching.check(search, config.strategy)
    with progress.alive(quiet):
        inputs.check(config)
        config, arrays = completion.framed(
            config, source=source, target=target, unlabelled=unlabelled
        )
        halve = search == "halving"
        return _compare(config, out, arrays, quiet, jobs, generalists, halve)


def _compare(
    config: Experiment,
    out: str | os.PathLike,
    arrays: dict[str, ImageData | None],
    quiet: bool,
    jobs: int,
    generalists: str | os.PathLike | None,
    halve: bool,
) -> list[statistics.Row]:
    """Does what `compare` does, with the data by their names there."""
    loaded = inputs.load(
        config, **arrays, quiet=quiet, new=not os.path.exists(out)
    )
    source, target, parts = loaded.source, loaded.target, None
    if halve:
        resources.check(loaded.config, source, target)
        parts = prepare(loaded, quiet)
        make = functools.partial(_runner, quiet=quiet)
        found = searching.narrowed(loaded, out, parts, make, generalists)
        loaded = dataclasses.replace(loaded, config=found)
    config = loaded.config
    chief = distribution.is_chief(distribution.strategy(config.strategy))
    with RunFolder(
        out, config, loaded.fingerprints, writes=chief, alone=True
    ) as folder:
        if halve:
            found = searching.folder_of(out)
            reuse.take_results(folder, found, config.methods)
        every = range(config.seeds)
        seeds = [each for each in every if unfinished(config, folder, each)]
        if seeds or not folder.has(html.NAME):
            _check_results(config, folder, source.num_classes)
            if generalists:
                reuse.take_over(
                    folder, generalists, config, loaded.fingerprints
                )
            needed = resources.check(config, source, target)
            parts = parts or prepare(loaded, quiet)
            if not folder.has(check.NAME):
                check_data(folder, source, parts[0], quiet)
            runner = _runner(config, folder, source, target, parts, quiet)
            if seeds:
                runner.settle_rate()
            jobs = resources.limited(min(jobs, len(seeds)), needed)
            if jobs > 1:
                shares = [seeds[i::jobs] for i in range(jobs)]
                calls = [(config, out, arrays, quiet, each) for each in shares]
                progress.rest()  # they print
                processes.side_by_side(_train_some, calls)
                folder.refresh()
            weights = train(runner)
            if chief:
                names = _data_names(config, arrays)
                if not quiet:
                    note("exporting the model, and writing the report", 1.0)
                publish(folder, weights, source, target, parts[0], names)
        return statistics.summary(folder.results, config.methods)


def _check_jobs(jobs: int, strategy: str) -> None:
    alone = strategy == "none" or jobs == 1
    if type(jobs) is not int or jobs < 1 or not alone:
        raise InputError(
            "`jobs` must be at least 1, and 1 with a strategy that uses "
            f"several devices. Received: {jobs=}, {strategy=}"
        )


def _check_results(config: Experiment, folder: RunFolder, classes: int) -> None:
    """Checks the results that are there, before others are added to them."""
    path = folder.path / results.NAME
    earlier = [r for r in folder.results if r.method in config.methods]
    run_data.check_results(earlier, classes, path)
    for result in earlier:
        if METHODS[result.method].learns_weights and not result.weights:
            raise InputError(
                "`weights` must be there for a method that learns them. "
                f"Received: none of {result.method} in {path}"
            )


def _data_names(config: Experiment, arrays: dict) -> dict[str, str | None]:
    """Returns the configured names of the data not given as arrays."""
    return {
        part: getattr(config.data, part) if arrays[part] is None else None
        for part in ("source", "target")
    }


def prepare(loaded: inputs.Inputs, quiet: bool) -> dict[int, TargetSplit]:
    """Splits and checks the data of all seeds before anything is trained.

    Args:
        loaded: the data, and the complete settings.
        quiet: print no hint that TensorBoard is missing.

    Returns:
        The parts of the target by seed.
    """
    if not (quiet or tensorboard.installed()):
        fact(_WITHOUT_TENSORBOARD)
    seeds = range(loaded.config.seeds)
    parts = inputs.split_target(
        loaded.config, loaded.target, seeds, loaded.unlabelled
    )
    splits.check_apart(loaded.source, parts[0].test)
    return parts


def check_data(
    folder: RunFolder, source: ImageData, split: TargetSplit, quiet: bool
) -> None:
    """Looks for what is odd about the data, and writes `data_check.json`.

    Args:
        folder: of the run.
        source: the source images to train with.
        split: the target's parts for the first seed.
        quiet: print nothing.
    """
    found = check.DataCheck.of(source, split.labelled, split.test)
    folder.write(check.NAME, dataclasses.asdict(found))
    for sentence in found.findings() if folder.writes and not quiet else ():
        fact(f"data: {sentence}")


def _train_some(config: Experiment, out, arrays: dict, quiet: bool, seeds):
    """Trains some of the seeds, in a process of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the calling process has warned
        data = inputs.load(config, **arrays, quiet=True)
    parts = inputs.split_target(config, data.target, seeds, data.unlabelled)
    with RunFolder(out, config, data.fingerprints) as folder:
        parts = data.source, data.target, parts
        with progress.alive(quiet):
            for _ in _runner(config, folder, *parts, quiet).run():
                pass


def _runner(
    config: Experiment,
    folder: RunFolder,
    source: ImageData,
    target: ImageData,
    parts: dict[int, TargetSplit],
    quiet: bool,
) -> Runner:
    """Returns a runner that prints the table of the results so far.

    The closing table follows the last result.
    """

    def show() -> None:
        folder.refresh()
        results = folder.results, config.methods, config.seeds
        if len(folder.results) < config.seeds * len(config.methods):
            width = terminal.columns(sys.stderr)
            print(text.interim_table(*results, width), file=sys.stderr)

    shown = not quiet and folder.writes
    arguments = config, folder, source, target, parts, quiet
    return Runner(*arguments, finished=show if shown else lambda: None)


def train(runner: Runner) -> WeightTable | None:
    """Trains what is unfinished, and warns if the generalist is too weak.

    Args:
        runner: of all seeds.

    Returns:
        The weights of all seeds, or None if no method uses the source.
    """
    folder, tables = runner.folder, []
    for run in runner.run():
        if base.use_source(runner.config.methods):
            tables.append(WeightTable.from_run(run, _learned(folder, run.seed)))
            if run.seed == 0:
                # All workers take part.
                accuracy = run.source_accuracy
                weak = weak_generalist(accuracy, run.source.num_classes)
                if weak and folder.writes:
                    warn(weak)
        del run  # with its states, before the next one is trained
    return WeightTable.join(tables) if tables else None


def _learned(folder: RunFolder, seed: int) -> dict[str, list[float]]:
    """Returns the weights that methods have learned, by method."""
    results = (
        folder.result(name, seed)
        for name, method in METHODS.items()
        if method.learns_weights
    )
    return {r.method: r.weights for r in results if r}


def publish(
    folder: RunFolder,
    weights: WeightTable | None,
    source: ImageData,
    target: ImageData,
    split: TargetSplit,
    names: dict[str, str | None],
) -> None:
    """Writes the weights, the figures, the exported model and the report.

    Args:
        folder: of the run, with the results of all methods and seeds.
        weights: of all seeds, or None if no method uses the source.
        source: the source images that were trained on.
        target: the whole target.
        split: the target's parts for the first seed.
        names: of source and target; None if they were given as arrays.
    """
    if weights is not None:
        weights.write_csv(folder.files)
        figures.write_weights(folder.files, weights, source, split.labelled)
    figures.write_curves(folder.files, folder.results)
    export.write_data(folder, source, target, split, names)
    _export_chosen(folder, source, split)
    html.write(folder.path, source, target)


def _export_chosen(
    folder: RunFolder, source: ImageData, split: TargetSplit
) -> None:
    """Exports a model of the chosen method."""
    if "1" in folder.files.names("export"):
        return
    run = FinishedRun.read(folder.path)
    members = export.members_of(run, export.choose(run))
    if members[1:]:
        teaching.teach(folder, run, members, source, split)
    export.export(folder.path)
