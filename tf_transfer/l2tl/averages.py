"""A metric that averages several figures over an epoch at once."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tf_transfer")
class Averages(keras.metrics.Metric):
    """Averages several figures over an epoch, in one variable.

    It needs far fewer operations than one `keras.metrics.Mean` per figure.

    Args:
        names: names of the figures, which are the keys of the result.
        name: name of the metric.

    Example:

    >>> averages = Averages(["loss", "reward"])
    >>> for reward in (0.0, 1.0):
    ...     averages.update_state({"loss": 2.0, "reward": reward})
    >>> {name: float(mean) for name, mean in averages.result().items()}
    {'loss': 2.0, 'reward': 0.5}
    """

    def __init__(self, names: Sequence[str], name: str = "averages", **kwargs):
        super().__init__(name=name, **{"dtype": "float32"} | kwargs)
        self.names = list(names)
        # Else Keras takes its default float, and bfloat16 counts up to 256.
        self.totals = self.add_variable(
            (len(names),), "zeros", "float32", name="totals"
        )
        self.count = self.add_variable((), "zeros", "float32", name="count")

    def get_config(self) -> dict:
        return super().get_config() | {"names": self.names}

    def update_state(self, figures: Mapping[str, tf.Tensor]) -> None:
        """Adds the figures of a step; an absent one counts as 0."""
        values = [figures.get(name, 0.0) for name in self.names]
        self.totals.assign_add(tf.stack(values))
        self.count.assign_add(1.0)

    def result(self) -> dict[str, tf.Tensor]:
        means = tf.math.divide_no_nan(self.totals.value, self.count.value)
        return dict(zip(self.names, tf.unstack(means), strict=True))
