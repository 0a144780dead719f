"""The metrics of an epoch that was interrupted."""

import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.training import checkpoint_folder


def checkpointed(model: keras.Model) -> list[tf.Variable]:
    """Returns the variables of metrics, in the order of a checkpoint."""
    return [variable.value for variable in model.metrics_variables]


def shapes(model: keras.Model) -> list[list[int]]:
    """Returns the shapes of the variables of metrics."""
    return [list(variable.shape) for variable in model.metrics_variables]


def plain(log: Any) -> float | list:
    """Returns the value of a log as a number, or as lists of numbers."""
    if tf.is_tensor(log):
        log = log.numpy()  # NumPy alone takes no tensor of bfloat16
    return np.asarray(log, float).tolist()


def restore_at_first_step(
    model: keras.Model, path: pathlib.Path, wanted: list[list[int]] | None
) -> None:
    """Restores the metrics just before the next step of `fit`.

    Compiled metrics have no variables before the first step of a process. To
    make them, the step is traced on the shapes of the data.

    Args:
        model: in `fit`, at the begin of an epoch.
        path: a checkpoint with `checkpointed(model)` as `metric_values`.
        wanted: the shapes of the variables in it; None, as in those of
            earlier versions, restores nothing.

    Raises:
        InputError: from the step, if the metrics are not those of the
            checkpoint.
    """
    if wanted is None:
        return
    steps = model.train_function

    def restore_then_step(iterator):
        model.train_function = steps
        if shapes(model) != wanted:
            _build(model, iterator)
        if shapes(model) != wanted:
            raise InputError(
                "An interrupted epoch must go on with its metrics. Received: "
                f"metrics with variables of shapes {shapes(model)}, not "
                f"{wanted} as in {path}"
            )
        checkpoint = tf.train.Checkpoint(metric_values=checkpointed(model))
        checkpoint_folder.restore(checkpoint, path)
        return steps(iterator)

    model.train_function = restore_then_step


def _build(model: keras.Model, iterator) -> None:
    """Makes the variables of the compiled metrics, without a step."""
    try:
        step = tf.function(model.train_step)
        step.get_concrete_function(iterator.element_spec)
    except Exception as error:  # a step that only runs eagerly raises any
        raise InputError(
            "An interrupted epoch can go on only if its step can be traced. "
            f"Received: {model.name!r}"
        ) from error
