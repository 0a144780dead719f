"""One command for several targets of one source."""

import copy
import os
import pathlib
import re
import shlex
from collections.abc import Iterator

from absl import flags

from tf_transfer.commands import failures
from tf_transfer.commands.preparation import completion, inputs
from tf_transfer.config import Experiment
from tf_transfer.errors import InputError
from tf_transfer.utils.progress import fact


def each(
    values: flags.FlagValues, default: str, labels: bool = True
) -> Iterator[tuple[Experiment, pathlib.Path]]:
    """Yields the settings and the folder for each target of a command.

    Args:
        values: the flags of the command.
        default: the folder, unless `--out` names one.
        labels: whether the targets of `--targets` have labels.

    Raises:
        InputError: if a name is given twice, or the data cannot be read.
    """
    out = pathlib.Path(values.out or default)
    if not values.targets:
        yield values.config, out
        return
    names = _names(values.targets)
    with failures.explained(values.config.strategy, out):
        inputs.check(values.config)
        shared = completion.shared_settings(values.config, names)
    for name, folder in zip(names, folders(names), strict=True):
        config = copy.deepcopy(shared)
        config.data.target = name if labels else ""
        config.data.unlabelled = "" if labels else name
        if not values.quiet:
            fact(f"target {name}")
        yield config, out / folder


def _names(text: str) -> list[str]:
    """Returns the names of the targets in a flag."""
    try:
        names = shlex.split(text)
    except ValueError as error:
        raise InputError(
            f"`--targets` must be words of a shell ({error}). Received: {text}"
        ) from error
    if len(set(names)) < len(names) or not names:
        raise InputError(
            "`--targets` must name each target once. "
            f"Received: {text or 'nothing'}"
        )
    return names


def folders(names: list[str]) -> list[str]:
    """Returns a folder's name for each target, all different.

    >>> folders(["folder:my photos", "npz:a/x.npz", "npz:b/x.npz"])
    ['my_photos', 'x', 'x-2']
    """
    found: list[str] = []
    for name in names:
        last = os.path.basename(name.partition(":")[2].rstrip("/*") or name)
        stem = re.sub(r"[^\w-]+", "_", last.partition(".")[0]).strip("_")
        stem = stem or "target"
        number = 1 + sum(each.rpartition("-")[0] == stem for each in found)
        number += stem in found
        found.append(stem if number == 1 else f"{stem}-{number}")
    return found
