"""The settings in a run's folder, and those of runs that are older."""

import dataclasses

from tf_transfer.config import Experiment

_STAGE = {"steps": 300, "batch_size": 64, "learning_rate": 0.05}
_EARLIER = {
    "data": {
        "target": "digits",
        "image_size": 12,
        "augment": "none",
        "channels": 1,
        "labels_per_class": 10,
        "validation_per_class": 3,
        "test_share": 0.5,
    },
    "encoder": {"form": "flat"},
    "generalist": _STAGE,
    "pretraining": _STAGE,
    "finetuning": {
        "steps": 80,
        "batch_size": 32,
        "learning_rates": (0.02, 0.05),
    },
    "optimizer": "sgd",
}
"""What was the default of a run that is older than the present one."""
_GUARDED = ("memory_share", "cache", "damaged")
"""Settings of the data that change nothing unless they change the data."""


def completed(stored: dict) -> dict:
    """Adds the defaults of missing fields to an `asdict` configuration.

    A run that is older than a field is treated as a run with the default of
    its time.
    """

    def merge(defaults: dict, values: dict) -> dict:
        groups = {
            name: merge(default, values[name])
            for name, default in defaults.items()
            if isinstance(default, dict) and isinstance(values.get(name), dict)
        }
        return defaults | values | groups

    return merge(merge(dataclasses.asdict(Experiment()), _EARLIER), stored)


def comparable(config: dict) -> dict:
    """Returns an `asdict` configuration without what changes no result."""
    data = config.get("data")
    if not isinstance(data, dict):
        return config
    kept = {k: v for k, v in data.items() if k not in _GUARDED}
    return config | {"data": kept}


def differences(one: dict, other: dict, prefix: str = "") -> list[str]:
    """Lists the fields in which two `asdict` configurations differ."""
    lines = []
    for name in sorted(set(one) | set(other)):
        a, b = one.get(name), other.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            lines.append(f"{prefix}{name}: {a} and {b}")
    return lines
