"""Checks the settings of an experiment. Imports no TensorFlow."""

import dataclasses
import os
import typing
from collections.abc import Iterator
from typing import Any

from tf_transfer.config import Datl, Experiment
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import stored_config
from tf_transfer.utils.storage.json_fields import Fields

_LARGEST = {int: 1e9, float: 1e6}


def check(experiment: Experiment) -> None:
    """Checks each setting, then the settings together.

    Raises:
        InputError: for a setting of a wrong type or out of bounds, and for
            settings that exclude each other.
    """
    _check_types(experiment)
    for name, value, field in _settings(experiment):
        rule = field.metadata.get("rule")
        if rule and not rule.holds(value):
            received = repr(value) if rule.choices else value
            raise InputError(f"`{name}` {rule.sentence}. Received: {received}")
    _check_together(experiment)


def _settings(
    settings: object, declared: type = Experiment, prefix: str = ""
) -> Iterator[tuple[str, object, dataclasses.Field]]:
    """Yields name, value and declaration of each setting."""
    for field in dataclasses.fields(declared):
        value = getattr(settings, field.name)
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(field.type):
            yield from _settings(value, field.type, f"{name}.")
        else:
            yield name, value, field


def _check_types(settings: object, prefix: str = "") -> None:
    """Raises InputError for a field of another type than declared."""
    for field in dataclasses.fields(settings):
        value, declared = getattr(settings, field.name), field.type
        name = f"`{prefix}{field.name}`"
        if dataclasses.is_dataclass(declared):
            # By name: a config file may hold another copy of the class.
            if type(value).__name__ != declared.__name__:
                raise InputError(
                    f"{name} must be a {declared.__name__}. Received: {value!r}"
                )
            _check_types(value, f"{prefix}{field.name}.")
        elif not _fits(value, declared):
            text = str(declared)
            if not typing.get_origin(declared):
                text = declared.__name__
            if declared in _LARGEST:
                text += f", below {_LARGEST[declared]:,.0f}"
            raise InputError(f"{name} must be {text}. Received: {value!r}")


def _fits(value: object, declared: type) -> bool:
    """Whether a value has the declared type and is not too large."""
    if typing.get_origin(declared) is tuple:
        inner = typing.get_args(declared)[0]
        return isinstance(value, tuple) and all(_fits(v, inner) for v in value)
    if declared is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) < _LARGEST[float]
    if declared is int:
        return type(value) is int and abs(value) < _LARGEST[int]
    return type(value) is declared


def _check_together(experiment: Experiment) -> None:
    """Raises InputError for settings that exclude each other."""
    methods, tuning = experiment.methods, experiment.finetuning
    datl, l2tl = experiment.datl, experiment.l2tl
    if len(set(methods)) < len(methods):
        raise InputError(
            "`methods` must not hold a name twice. "
            f"Received: {', '.join(methods)}"
        )
    if experiment.generalist_path and (
        datl.calibrate or datl.estimator == "bbse"
    ):
        raise InputError(
            "`datl.calibrate` and the estimator bbse need source images that "
            "the generalist was not trained on. With `generalist_path` it is "
            "not known which these are. "
            f"Received: {experiment.generalist_path!r}"
        )
    if l2tl.oversample > 1 and datl.apply == "attach":
        raise InputError(
            "`l2tl.oversample` must be 1 with `datl.apply=attach`, or the "
            "weights would be applied twice: to select images and in the loss. "
            f"Received: {l2tl.oversample}"
        )
    if datl.shape == "cut" and not datl.repeats:
        raise InputError(
            "`datl.shape=cut` needs `datl.repeats`, which tells how many "
            "classes it takes. "
            f"Received: {datl.repeats}"
        )
    if datl.shape == "cut" and (
        datl.clip or datl.floor or datl.temper != Datl().temper
    ):
        raise InputError(
            "`datl.shape=cut` goes by the order of the classes alone: leave "
            "out `temper`, `clip` and `floor`. "
            f"Received: {datl.temper}, {datl.clip} and {datl.floor}"
        )
    for name in ("every", "growing"):
        if getattr(datl, name) and experiment.pretraining.steps % 10:
            raise InputError(
                "`pretraining.steps` must be a multiple of 10 with "
                f"`datl.{name}`. Received: {experiment.pretraining.steps}"
            )
    examples = experiment.examples
    if 0 < examples.clip < 1:
        raise InputError(
            "`examples.clip` must be at least 1, or 0 for no limit. "
            f"Received: {examples.clip}"
        )
    if experiment.data.source_labels != "given":
        _check_clusters(experiment)
    if not (examples.temper or examples.beliefs):
        raise InputError(
            "`examples.temper` must be positive without `examples.beliefs`, or "
            "all examples of a class would be equal. "
            f"Received: {examples.temper}"
        )
    if tuning.steps and not experiment.joint_steps:
        raise InputError(
            "`l2tl.joint_share` must make at least one of `finetuning.steps` "
            "joint. "
            f"Received: {l2tl.joint_share} of {tuning.steps}"
        )


def _check_clusters(experiment: Experiment) -> None:
    """Raises InputError for settings that need the source's own labels."""
    for name, value in {
        "data.source_classes": experiment.data.source_classes,
        "relevant": experiment.relevant,
        "examples.beliefs": experiment.examples.beliefs,
        "generalist_path": experiment.generalist_path,
    }.items():
        if value:
            raise InputError(
                f"`{name}` goes by given labels of the source; leave it out "
                f"with `data.source_labels=clusters`. Received: {value!r}"
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
    settings = stored_config.completed(content)
    experiment = _dataclass(Experiment, Fields(settings, "config", path))
    try:
        check(experiment)
    except InputError as error:
        raise InputError(f"{error} in {path}") from error
    for name in missing(experiment):
        raise InputError(f"`{name}` must be set. Received: nothing in {path}")
    return experiment


def missing(experiment: Experiment) -> list[str]:
    """Returns the names of the settings that are to follow from the data."""
    return [
        name
        for name, value, field in _settings(experiment)
        if field.metadata.get("from_data") and value == field.default
    ]


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
