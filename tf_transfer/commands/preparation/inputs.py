"""Checked settings and data, for the commands `compare` and `weights`."""

import dataclasses
import hashlib
import pathlib
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from tf_transfer.commands.preparation import completion, resources
from tf_transfer.config import Experiment
from tf_transfer.data import splits
from tf_transfer.data import unlabelled as unlabelled_images
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.datl import shaping
from tf_transfer.errors import InputError
from tf_transfer.experiment import config_checks, defaults
from tf_transfer.experiment.methods import METHODS, base
from tf_transfer.experiment.records import loaded_data
from tf_transfer.training import distribution
from tf_transfer.utils.progress import fact, note


def check(config: Experiment) -> None:
    """Raises an InputError if the settings cannot be used."""
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
    for name in config.methods:
        METHODS[name].check(config, None)


_WITH_LABELS = ("pretraining", "finetuning")  # what needs labelled images


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What an experiment is made of.

    Attributes:
        config: the complete settings.
        source: the source images to train with.
        target: the whole target; without labels all its images are of one
            class.
        unlabelled: more target images without labels, or None.
        fingerprints: of the data and of model files, by name.
    """

    config: Experiment
    source: ImageData
    target: ImageData
    unlabelled: ImageData | None
    fingerprints: dict[str, str]


def load(
    config: Experiment,
    source: ImageData | None,
    target: ImageData | None,
    quiet: bool,
    new: bool = False,
    unlabelled: ImageData | None = None,
    labels: bool = True,
) -> Inputs:
    """Checks the settings, completes them and loads the data.

    Args:
        config: the experiment.
        source: labelled source images instead of `config.data.source`.
        target: labelled target images instead of `config.data.target`.
        quiet: print no progress.
        new: whether models will be trained for sure; then the memory that
            they need is checked before images are loaded by name.
        unlabelled: target images instead of `config.data.unlabelled`.
        labels: whether labelled target images are needed.

    Raises:
        InputError: if the settings or the data cannot be used.
    """
    check(config)
    # A cluster must be joined before anything is computed.
    distribution.strategy(config.strategy)
    if not quiet:
        note("loading the data")
    config = completion.with_target(config, target, unlabelled)
    if config_checks.missing(config):
        config, chosen = completion.completed(
            config, source, target, unlabelled
        )
        if not labels:  # nothing but the generalist is trained
            chosen = [s for s in chosen if not s.startswith(_WITH_LABELS)]
        _tell(chosen, quiet)
        check(config)
    if new and not (source and target):
        resources.check_settings(config)
    # The target first: it is small, so its errors show at once.
    settings = config.data
    target, unlabelled = loaded_data.whole_target(
        settings,
        target or settings.target,
        unlabelled or settings.unlabelled,
    )
    source = loaded_data.whole_source(config, source or settings.source)
    if target is None and not labels:
        target, unlabelled = _without_labels(unlabelled), None
    _check_target(target, labels)
    _check_source(config, source, [target, unlabelled])
    fingerprints = fingerprints_of(config, source, target, unlabelled)
    source = splits.trained_on(source, config.data.source_per_class)
    _check_held_out(config, source)
    config, budgets = defaults.budgeted(config, len(source.labels))
    _tell(budgets, quiet)
    check(config)
    for name in config.methods if labels else ():
        METHODS[name].check(config, target)
    _warn_of_empty_classes(source)
    return Inputs(config, source, target, unlabelled, fingerprints)


def _without_labels(data: ImageData | None) -> ImageData | None:
    """Returns images as one class, as their labels are not to be used."""
    if data is None or data.num_classes == 1:
        return data
    return unlabelled_images.of_images(data.images, data.frame)


def _tell(chosen: Sequence[str], quiet: bool) -> None:
    """Prints what was chosen for settings that were not given."""
    for sentence in chosen if not quiet else ():
        fact(f"chosen: {sentence}")


def _warn_of_empty_classes(source: ImageData) -> None:
    empty = np.flatnonzero(source.prior == 0)
    if empty.size:
        warnings.warn(
            f"{empty.size} source classes have no examples and get weight 0, "
            f"for example {source.class_names[empty[0]]!r}.",
            stacklevel=4,
        )


def fingerprints_of(
    config: Experiment,
    source: ImageData,
    target: ImageData,
    unlabelled: ImageData | None = None,
) -> dict[str, str]:
    """Returns hashes of the data, and of the files that models come from."""
    prints = {"source": source.fingerprint(), "target": target.fingerprint()}
    if unlabelled is not None:
        prints["unlabelled"] = unlabelled.fingerprint()
    files = {
        "generalist": config.generalist_path,
        "encoder": config.encoder.weights,
    }
    for name, path in files.items():
        if pathlib.Path(path).is_file():
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            prints[name] = digest[:16]
    return prints


def _check_target(target: ImageData | None, labels: bool) -> None:
    """Raises InputError if there are no target images, or no labels."""
    if target is None:
        raise InputError(
            "Target images are needed: labelled ones by `data.target`, or for "
            "`weights` unlabelled ones by `data.unlabelled`. Received: none"
        )
    if labels and target.num_classes < 2:
        raise InputError(
            "The target must have at least two classes. "
            f"Received: {', '.join(target.class_names)}"
        )


def _check_source(
    config: Experiment, source: ImageData, targets: Sequence[ImageData | None]
) -> None:
    missing = set(config.relevant) - set(source.class_names)
    if missing:
        raise InputError(
            f"`relevant` must name source classes. Received: {min(missing)!r}"
        )
    for images in targets:
        shape = source.images.shape[1:]
        if images is not None and images.images.shape[1:] != shape:
            raise InputError(
                "Source and target images must have one shape. Received: "
                f"{shape} and {images.images.shape[1:]}"
            )


def _check_held_out(config: Experiment, source: ImageData) -> None:
    """Raises InputError if BBSE would find no held-out image of a class."""
    if config.datl.estimator != "bbse" or not base.use_source(config.methods):
        return
    counts = np.bincount(source.labels, minlength=source.num_classes)
    single = np.flatnonzero(counts == 1)
    if single.size:
        raise InputError(
            "`datl.estimator=bbse` holds out images of every source class, so "
            "each class needs two or more; em and mean do without. Received: "
            f"one image of {source.class_names[single[0]]!r}"
            + (f" and {single.size - 1} more" if single.size > 1 else "")
        )


def split_target(
    config: Experiment,
    target: ImageData,
    seeds: Iterable[int],
    unlabelled: ImageData | None = None,
) -> dict[int, TargetSplit]:
    """Returns the parts of the target by seed, all with the same test part.

    Args:
        config: the experiment.
        target: the whole target.
        seeds: for which to split it.
        unlabelled: more images of it, part of all splits.
    """
    parts: dict[int, TargetSplit] = {}
    for seed in seeds:
        split = splits.split_target(
            target,
            config.data.labels_per_class,
            config.data.validation_per_class,
            seed,
            test_share=config.data.test_share,
            folds=splits.folds_of(config.seeds),
        )
        test = next(iter(parts.values()), split).test  # not a copy per seed
        parts[seed] = dataclasses.replace(
            split, test=test, unlabelled=unlabelled
        )
    return parts
