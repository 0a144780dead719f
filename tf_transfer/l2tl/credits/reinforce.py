"""REINFORCE: one scalar reward credits all classes."""

import keras
import tensorflow as tf

from tf_transfer.l2tl import losses
from tf_transfer.l2tl.credits.base import LARGEST, Credit, state
from tf_transfer.l2tl.types import Transition
from tf_transfer.training.distribution import total


@keras.saving.register_keras_serializable("tf_transfer")
class Reinforce(Credit):
    """The paper's credit: one advantage for all actions (section 3.3).

    The advantage is the reward less its running mean *before* this step, in
    running standard deviations, so that the entropy bonus weighs the same for
    every reward.

    Args:
        decay: of the running mean and deviation.

    Raises:
        InputError: for a decay that cannot be.

    Example:

    >>> Reinforce(decay=0.95).get_config()["decay"]
    0.95
    """

    def __init__(self, decay: float = 0.9, **kwargs):
        super().__init__(decay, **kwargs)

    def build(self, input_shape):
        """Creates the running figures; the shape does not matter."""
        self.mean = state(self, (), "mean")
        self.square = state(self, (), "square")
        self.mass = state(self, (), "mass")
        self.built = True

    def policy_loss(self, model, evidence: Transition, active: tf.Tensor):
        """Returns the loss whose gradient is that of REINFORCE."""
        labels = evidence.candidates  # that none of a class is kept counts too
        found = tf.math.unsorted_segment_sum(
            tf.ones_like(labels, tf.float32), labels, model.num_source_classes
        )
        present = total(found) > 0
        log_probs = model.policy.log_probs(evidence.actions, present)
        advantage = self._advantage(evidence.reward, active)
        return losses.policy_gradient_loss(log_probs, advantage)

    def baseline(self) -> tf.Tensor:
        """Returns the running mean of the reward; 0 before the first."""
        return tf.math.divide_no_nan(self.mean.value, self.mass.value)

    def _advantage(self, reward: tf.Tensor, active: tf.Tensor) -> tf.Tensor:
        mass = self.mass.value
        mean = self.baseline()
        square = tf.math.divide_no_nan(self.square.value, mass)
        spread = tf.sqrt(tf.maximum(square - mean**2, 1e-8))
        advantage = tf.where(mass > 0, (reward - mean) / spread, 0.0)
        for variable, value in (
            (self.mean, reward),
            (self.square, reward**2),
            (self.mass, 1.0),
        ):
            change = active * (1 - self.decay) * (value - variable.value)
            variable.assign(variable.value + change)
        return tf.clip_by_value(advantage, -LARGEST, LARGEST)
