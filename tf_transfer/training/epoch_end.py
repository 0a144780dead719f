"""The weights at the end of an epoch, before `fit` and callbacks end."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.training import optimizer_checks

SWAPPED = (
    "Callbacks must leave the weights of an optimizer with `use_ema` as they "
    "are at the end of an epoch. "
    "Received: SwapEMAWeights(swap_on_epoch=True), or the like"
)


class EpochEnd:
    """Keeps the weights of an epoch's end, to train on from them.

    At its end, `fit` replaces the weights by the averages of an optimizer with
    `use_ema`, and a callback may restore its best weights.

    Args:
        model: a compiled model.
        variables: returns all variables of its training.
    """

    def __init__(
        self,
        model: keras.Model,
        variables: Callable[[], Sequence[keras.Variable]],
    ):
        self._model = model
        self._variables = variables
        self._averages = uses_averages(model.optimizer)
        self._kept = self._last_step = None

    def keep_last_step(self) -> None:
        """Keeps the weights after the last step, before callbacks."""
        if self._averages:
            self._last_step = list(map(_array, self._model.trainable_variables))

    def swapped(self) -> bool:
        """Whether callbacks have changed weights since `keep_last_step`.

        It is asked only if the optimizer has averages to swap them with.
        """
        before, self._last_step = self._last_step, None
        if before is None:
            return False
        return not all(map(_equal, self._model.trainable_variables, before))

    def keep(self) -> None:
        """Keeps all variables."""
        self._kept = list(map(_array, self._variables()))

    def put_back(self) -> None:
        """Assigns the kept values to variables that have changed."""
        if self._kept is None:
            return
        for variable, value in zip(self._variables(), self._kept, strict=True):
            if not _equal(variable, value):
                variable.assign(value)
        self._kept = None


def uses_averages(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer, or one in it, has `use_ema`."""
    parts = optimizer_checks.parts(optimizer)
    return any(getattr(part, "use_ema", False) for part in parts)


def all_finite(value: tf.Variable) -> bool:
    """Whether no number of a variable is infinite or NaN."""
    return bool(tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(value))))


def _array(variable: keras.Variable) -> np.ndarray:
    return tf.convert_to_tensor(variable.value).numpy()


def _equal(variable: keras.Variable, value: np.ndarray) -> bool:
    return np.array_equal(_array(variable), value)
