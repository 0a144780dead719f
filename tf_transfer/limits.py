"""Which settings of an experiment can be used. Imports no TensorFlow."""

import dataclasses
import typing

from tf_transfer.config import Experiment
from tf_transfer.errors import InputError

_LARGEST = {int: 1e9, float: 1e6}


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
    if len(set(experiment.methods)) < len(experiment.methods):
        raise InputError(
            "`methods` must not hold a name twice. "
            f"Received: {', '.join(experiment.methods)}"
        )
    positive = {
        "seeds": experiment.seeds,
        "checkpoint_every": experiment.checkpoint_every,
        "data.max_pixels": experiment.data.max_pixels,
        "generalist.steps": experiment.generalist.steps,
        "generalist.batch_size": experiment.generalist.batch_size,
        "generalist.learning_rate": experiment.generalist.learning_rate,
        "pretraining.steps": experiment.pretraining.steps,
        "pretraining.batch_size": experiment.pretraining.batch_size,
        "pretraining.learning_rate": experiment.pretraining.learning_rate,
        "finetuning.steps": experiment.finetuning.steps,
        "finetuning.batch_size": experiment.finetuning.batch_size,
        "datl.temperature": experiment.datl.temperature,
        "l2tl.steps": experiment.l2tl.steps,
        "l2tl.learning_rate": experiment.l2tl.learning_rate,
        "l2tl.policy_learning_rate": experiment.l2tl.policy_learning_rate,
        "l2tl.oversample": experiment.l2tl.oversample,
    }
    for name, value in positive.items():
        if not value > 1e-12:
            raise InputError(f"`{name}` must be positive. Received: {value}")
    rates = experiment.finetuning.learning_rates
    if not rates or not all(rate > 0 for rate in rates):
        raise InputError(
            "`finetuning.learning_rates` must hold positive numbers. "
            f"Received: {rates}"
        )
    not_negative = {
        "data.source_per_class": experiment.data.source_per_class,
        "finetuning.head_steps": experiment.finetuning.head_steps,
        "datl.temper": experiment.datl.temper,
        "datl.clip": experiment.datl.clip,
        "datl.floor": experiment.datl.floor,
        "datl.top_k": experiment.datl.top_k,
        "datl.every": experiment.datl.every,
        "l2tl.policy_warmup": experiment.l2tl.policy_warmup,
        "l2tl.entropy": experiment.l2tl.entropy,
    }
    for name, value in not_negative.items():
        if not value >= 0:
            raise InputError(
                f"`{name}` must not be negative. Received: {value}"
            )
    if experiment.datl.every and experiment.pretraining.steps % 10:
        raise InputError(
            "`datl.every` needs a `pretraining.steps` that 10 divides. "
            f"Received: {experiment.pretraining.steps}"
        )
    if not 0 < experiment.l2tl.joint_share <= 1:
        raise InputError(
            "`l2tl.joint_share` must be above 0 and at most 1. "
            f"Received: {experiment.l2tl.joint_share}"
        )
    if not experiment.joint_steps:
        raise InputError(
            "`l2tl.joint_share` must leave a step of `finetuning.steps`. "
            f"Received: {experiment.l2tl.joint_share} of "
            f"{experiment.finetuning.steps}"
        )
    learns = "l2tl" in experiment.methods
    if learns and experiment.l2tl.policy_warmup >= experiment.l2tl.steps:
        raise InputError(
            "`l2tl.policy_warmup` must be below `l2tl.steps`, or the policy "
            f"never learns. Received: {experiment.l2tl.policy_warmup} of "
            f"{experiment.l2tl.steps}"
        )
    if experiment.l2tl.levels < 2:
        raise InputError(
            "`l2tl.levels` must be at least 2. "
            f"Received: {experiment.l2tl.levels}"
        )
    choices = {
        "datl.estimator": (experiment.datl.estimator, "mean em bbse"),
        "datl.apply": (experiment.datl.apply, "draw resample elastic attach"),
        "datl.start": (experiment.datl.start, "generalist random"),
        "l2tl.credit": (
            experiment.l2tl.credit,
            "feature gradient reinforce",
        ),
        "l2tl.reward": (
            experiment.l2tl.reward,
            "accuracy auc mean_per_class_accuracy negative_loss",
        ),
        "l2tl.start": (experiment.l2tl.start, "flat datl"),
        "finetuning.head": (
            experiment.finetuning.head,
            "chosen related fresh",
        ),
        "encoder.precision": (
            experiment.encoder.precision,
            "float32 mixed_bfloat16",
        ),
        "strategy": (experiment.strategy, "none mirrored multi_worker tpu"),
    }
    for name, (value, allowed) in choices.items():
        if value not in allowed.split():
            raise InputError(
                f"`{name}` must be one of {', '.join(allowed.split())}. "
                f"Received: {value!r}"
            )
