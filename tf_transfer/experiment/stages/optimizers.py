"""The optimizers of an experiment by name, with rates that suit them."""

import dataclasses
import re
from collections.abc import Callable

import keras


@dataclasses.dataclass(frozen=True)
class Recipe:
    """An optimizer of Keras and its rates.

    Attributes:
        create: makes it from a schedule of the rate, and a pattern of the
            paths of heads.
        source: rates to choose from for training on the source.
        target: rates to choose from for fine-tuning.
    """

    create: Callable[
        [keras.optimizers.schedules.LearningRateSchedule, str],
        keras.optimizers.Optimizer,
    ]
    source: tuple[float, ...]
    target: tuple[float, ...]


def _sgd(schedule, heads):
    return keras.optimizers.SGD(
        schedule, momentum=0.9, nesterov=True, weight_decay=5e-3
    )


def _adamw(schedule, heads):
    return keras.optimizers.AdamW(schedule, weight_decay=5e-3)


def _muon(schedule, heads):
    # Muon is for matrices inside a model; the rest is trained by AdamW.
    return keras.optimizers.Muon(
        schedule,
        weight_decay=5e-3,
        adam_weight_decay=5e-3,
        exclude_layers=[heads],
    )


RECIPES = {
    "sgd": Recipe(_sgd, (0.01, 0.03, 0.1, 0.3), (0.02, 0.05)),
    "adamw": Recipe(_adamw, (3e-4, 1e-3, 3e-3, 1e-2), (1e-3, 3e-3)),
    "muon": Recipe(_muon, (5e-3, 1e-2, 2e-2, 4e-2), (5e-3, 2e-2)),
}
"""By the name of `Experiment.optimizer`."""


def create(
    name: str,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    heads: list[keras.Layer],
) -> keras.optimizers.Optimizer:
    """Returns a new optimizer.

    Args:
        name: `sgd`, `adamw` or `muon`.
        schedule: of the learning rate.
        heads: the last layers of the model.

    Example:

    >>> schedule = keras.optimizers.schedules.CosineDecay(0.1, 5)
    >>> type(create("adamw", schedule, [])).__name__
    'AdamW'
    """
    paths = {v.path for head in heads for v in head.trainable_variables}
    pattern = "|".join(f"^{re.escape(path)}$" for path in sorted(paths))
    return RECIPES[name].create(schedule, pattern or "$.")
