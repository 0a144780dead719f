"""Which settings of an experiment can be used. Imports no TensorFlow."""

import dataclasses
import operator
import os
import typing
from typing import Any

from tf_transfer import config as config_lib
from tf_transfer.config import Experiment
from tf_transfer.errors import InputError
from tf_transfer.utils.json_fields import Fields

_LARGEST = {int: 1e9, float: 1e6}
_SMALLEST = 1e-12
_POSITIVE = (
    "seeds",
    "checkpoint_every",
    "data.max_pixels",
    "generalist.steps",
    "generalist.batch_size",
    "generalist.learning_rate",
    "pretraining.steps",
    "pretraining.batch_size",
    "pretraining.learning_rate",
    "finetuning.steps",
    "finetuning.batch_size",
    "datl.temperature",
    "l2tl.steps",
    "l2tl.learning_rate",
    "l2tl.policy_learning_rate",
    "l2tl.oversample",
)
_NOT_NEGATIVE = (
    "data.source_per_class",
    "finetuning.head_steps",
    "datl.temper",
    "datl.clip",
    "datl.floor",
    "datl.top_k",
    "datl.every",
    "l2tl.policy_warmup",
    "l2tl.entropy",
)
_CHOICES = {
    "datl.estimator": ("mean", "em", "bbse"),
    "datl.apply": ("draw", "resample", "elastic", "attach"),
    "datl.start": ("generalist", "random"),
    "l2tl.credit": ("feature", "gradient", "reinforce"),
    "l2tl.reward": (
        "accuracy",
        "auc",
        "mean_per_class_accuracy",
        "negative_loss",
    ),
    "l2tl.start": ("flat", "datl"),
    "finetuning.head": ("chosen", "related", "fresh"),
    "encoder.precision": ("float32", "mixed_bfloat16"),
    "strategy": ("none", "mirrored", "multi_worker", "tpu"),
}


def _check_types(settings: object, prefix: str = "") -> None:
    """Raises InputError for a field of another type than declared."""
    for field in dataclasses.fields(settings):
        value, wanted = getattr(settings, field.name), field.type
        name = f"`{prefix}{field.name}`"
        if dataclasses.is_dataclass(wanted):
            # By name: a config file may hold another copy of the class.
            if type(value).__name__ != wanted.__name__:
                raise InputError(
                    f"{name} must be a {wanted.__name__}. Received: {value!r}"
                )
            _check_types(value, f"{prefix}{field.name}.")
        elif not _fits(value, wanted):
            shown = getattr(wanted, "__name__", wanted)
            if typing.get_origin(wanted):
                shown = wanted
            elif wanted in (int, float):
                shown = f"{shown}, below {_LARGEST[wanted]:,.0f}"
            raise InputError(f"{name} must be {shown}. Received: {value!r}")


def _fits(value: object, wanted: type) -> bool:
    """Whether a value is of a type that a setting can have."""
    if typing.get_origin(wanted) is tuple:
        inner = typing.get_args(wanted)[0]
        return isinstance(value, tuple) and all(_fits(v, inner) for v in value)
    if wanted is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) < _LARGEST[float]
    if wanted is int:
        return type(value) is int and abs(value) < _LARGEST[int]
    return type(value) is wanted


def check(experiment: Experiment) -> None:
    """Raises InputError for a setting of a wrong type or out of range."""
    _check_types(experiment)
    values = {
        name: operator.attrgetter(name)(experiment)
        for name in (*_POSITIVE, *_NOT_NEGATIVE, *_CHOICES)
    }
    for name in _POSITIVE:
        if not values[name] > _SMALLEST:
            raise InputError(
                f"`{name}` must be positive. Received: {values[name]}"
            )
    for name in _NOT_NEGATIVE:
        if not values[name] >= 0:
            raise InputError(
                f"`{name}` must not be negative. Received: {values[name]}"
            )
    for name, allowed in _CHOICES.items():
        if values[name] not in allowed:
            raise InputError(
                f"`{name}` must be one of {', '.join(allowed)}. "
                f"Received: {values[name]!r}"
            )
    _check_together(experiment)


def _check_together(experiment: Experiment) -> None:
    """Raises InputError for settings that do not go with one another."""
    methods, tuning = experiment.methods, experiment.finetuning
    datl, l2tl = experiment.datl, experiment.l2tl
    if len(set(methods)) < len(methods):
        raise InputError(
            "`methods` must not hold a name twice. "
            f"Received: {', '.join(methods)}"
        )
    rates = tuning.learning_rates
    if not rates or not all(rate > 0 for rate in rates):
        raise InputError(
            "`finetuning.learning_rates` must hold positive numbers. "
            f"Received: {rates}"
        )
    if experiment.generalist_path and (
        datl.calibrate or datl.estimator == "bbse"
    ):
        raise InputError(
            "`datl.calibrate` and the estimator bbse need source images that "
            "the generalist was not trained on, of which nothing is known with "
            f"`generalist_path`. Received: {experiment.generalist_path!r}"
        )
    if l2tl.oversample > 1 and datl.apply == "attach":
        raise InputError(
            "`l2tl.oversample` must be 1 with `datl.apply=attach`: the weights "
            "would choose the images, and weigh them once more. "
            f"Received: {l2tl.oversample}"
        )
    if datl.every and experiment.pretraining.steps % 10:
        raise InputError(
            "`datl.every` needs a `pretraining.steps` that 10 divides. "
            f"Received: {experiment.pretraining.steps}"
        )
    if not 0 < l2tl.joint_share <= 1:
        raise InputError(
            "`l2tl.joint_share` must be above 0 and at most 1. "
            f"Received: {l2tl.joint_share}"
        )
    if not experiment.joint_steps:
        raise InputError(
            "`l2tl.joint_share` must leave a step of `finetuning.steps`. "
            f"Received: {l2tl.joint_share} of {tuning.steps}"
        )
    if "l2tl" in methods and l2tl.policy_warmup >= l2tl.steps:
        raise InputError(
            "`l2tl.policy_warmup` must be below `l2tl.steps`, or the policy "
            f"never learns. Received: {l2tl.policy_warmup} of {l2tl.steps}"
        )
    if l2tl.levels < 2:
        raise InputError(
            f"`l2tl.levels` must be at least 2. Received: {l2tl.levels}"
        )


def from_json(content: Any, path: str | os.PathLike) -> Experiment:
    """Returns the experiment that a run's `config.json` describes.

    Fields that are younger than the file get their defaults.

    Args:
        content: the settings in the file.
        path: the file, for the error message.

    Raises:
        InputError: for a setting that is unknown, of a wrong type or out of
            range.
    """
    settings = config_lib.completed(content)
    experiment = _dataclass(Experiment, Fields(settings, "config", path))
    try:
        check(experiment)
    except InputError as error:
        raise InputError(f"{error} in {path}") from error
    return experiment


def _dataclass(kind: type, fields: Fields) -> Any:
    """Returns a dataclass of settings; their types are checked later."""
    names = [field.name for field in dataclasses.fields(kind)]
    for name in fields.content:
        if name not in names:
            fields.refuse(name, "absent: there is no such setting")
    values = dict(fields.content)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            inner = fields.object(field.name)
            values[field.name] = _dataclass(field.type, inner)
        elif typing.get_origin(field.type) is tuple and isinstance(
            values[field.name], list
        ):
            values[field.name] = tuple(values[field.name])
    return kind(**values)
