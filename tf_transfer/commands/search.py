"""Finds the methods that are worth all seeds; see `experiment.halving`."""

import copy
import dataclasses
import os
import pathlib
from collections.abc import Callable

from tf_transfer.commands.preparation import inputs
from tf_transfer.config import Experiment
from tf_transfer.data.splits import TargetSplit
from tf_transfer.errors import InputError
from tf_transfer.experiment import halving
from tf_transfer.experiment.records import reuse, stored_config
from tf_transfer.experiment.records.run_data import Run
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.runner import Runner
from tf_transfer.utils.progress import fact

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


def folder_of(out: str | os.PathLike) -> pathlib.Path:
    """Returns the folder in which the methods for a run are searched."""
    path = pathlib.Path(os.path.abspath(out))
    return path.with_name(f"{path.name}-search")


def narrowed(
    loaded: inputs.Inputs,
    out: str | os.PathLike,
    parts: dict[int, TargetSplit],
    make_runner: Callable[..., Runner],
    generalists: str | os.PathLike | None,
) -> Experiment:
    """Trains ever fewer methods with ever more seeds, until one is left.

    Args:
        loaded: the complete settings, and the data.
        out: the folder of the run that is to come.
        parts: the target's parts of every seed.
        make_runner: makes the runner of a folder.
        generalists: the folder of an earlier run, whose generalists are used.

    Returns:
        The experiment with the method that is left and its baseline alone.
        Controls are left out. Methods start with a related head, unless the
        experiment asks for a fresh one.

    Raises:
        InputError: if `out` holds something else.
    """
    config = copy.deepcopy(loaded.config)
    config.methods = halving.candidates(config.methods) or config.methods
    if config.finetuning.head == "chosen":
        config.finetuning.head = "related"
    _check_free(out, config)
    with RunFolder(
        folder_of(out), config, loaded.fingerprints, alone=True
    ) as folder:
        if generalists:
            reuse.take_over(folder, generalists, config, loaded.fingerprints)
        runner = make_runner(
            config, folder, loaded.source, loaded.target, parts
        )
        config.methods, rounds = halving.search(runner)
        folder.write(NAME, [dataclasses.asdict(each) for each in rounds])
    if not runner.progress.quiet:
        for each in rounds:
            fact(str(each))
    return config


def _check_free(out: str | os.PathLike, config: Experiment) -> None:
    """Raises InputError unless `out` is free, or holds a run of a search."""
    if not (os.path.isdir(out) and os.listdir(out)):
        return
    found = Run.read(out).config
    expected = copy.deepcopy(config)
    expected.methods = found.methods
    changes = stored_config.differences(
        dataclasses.asdict(found), dataclasses.asdict(expected)
    )
    if not set(found.methods) <= set(config.methods) or found.methods[2:]:
        changes = [f"methods {', '.join(found.methods)}"]
    if changes:
        raise InputError(
            "The folder holds a run that no search has begun "
            f"({changes[0]}); choose another with --out. Received: {out}"
        )
