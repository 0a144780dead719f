"""Finds the methods that are worth all seeds; see `experiment.halving`."""

import copy
import dataclasses
import os
from collections.abc import Callable

from tf_transfer.commands.preparation import inputs
from tf_transfer.config import Experiment
from tf_transfer.errors import InputError
from tf_transfer.experiment import halving
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.runner import Runner
from tf_transfer.utils.progress import note

KINDS = ("all", "halving")
NAME = "search.json"


def check(kind: str, strategy: str) -> None:
    """Raises InputError unless `kind` is known and suits the strategy."""
    if kind not in KINDS:
        raise InputError(
            f"`search` must be one of {', '.join(KINDS)}. Received: {kind!r}"
        )
    if kind != "all" and strategy == "multi_worker":
        raise InputError(
            "`search` must be all where several machines train together. "
            f"Received: {kind!r}"
        )


def folder_of(out: str | os.PathLike) -> str:
    """Returns the folder in which the methods for a run are searched."""
    return f"{os.fspath(out).rstrip(os.sep)}-search"


def narrowed(
    config: Experiment,
    out: str | os.PathLike,
    loaded: inputs.Inputs,
    quiet: bool,
    make_runner: Callable[..., Runner],
) -> Experiment:
    """Trains ever fewer methods with ever more seeds, until one is left.

    Args:
        config: the experiment, complete.
        out: the folder of the run that is to come.
        loaded: its data.
        quiet: print nothing.
        make_runner: makes the runner of a folder.

    Returns:
        The experiment with the method that is left and its baseline alone.
        Controls are left out. Methods start with a related head, unless the
        experiment asks for a fresh one.
    """
    config = copy.deepcopy(config)
    config.methods = halving.candidates(config.methods) or config.methods
    if config.finetuning.head == "chosen":
        config.finetuning.head = "related"
    source, target = loaded.source, loaded.target
    parts = inputs.split_target(
        config, target, range(config.seeds), loaded.unlabelled
    )
    with RunFolder(
        folder_of(out), config, loaded.fingerprints, alone=True
    ) as folder:
        runner = make_runner(config, folder, source, target, parts, quiet)
        config.methods, rounds = halving.search(runner)
        folder.write(NAME, [dataclasses.asdict(each) for each in rounds])
    for each in () if quiet else rounds:
        note(str(each))
    return config
