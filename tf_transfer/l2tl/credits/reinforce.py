"""REINFORCE: one scalar reward credits all classes."""

import keras
import tensorflow as tf

from tf_transfer.l2tl import losses
from tf_transfer.l2tl.credits.base import BOUND, Credit
from tf_transfer.l2tl.policy import WeightPolicy
from tf_transfer.l2tl.types import Transition
from tf_transfer.training.distribution import total


@keras.saving.register_keras_serializable("tf_transfer")
class Reinforce(Credit):
    """The paper's credit: one advantage for all actions (section 3.3).

    The advantage is the reward less its running mean *before* this step, in
    running standard deviations. The entropy bonus thus has the same weight
    for every reward.

    Args:
        decay: weight of the past in the running mean and deviation.

    Raises:
        InputError: if `decay` is invalid.

    Example:

    >>> Reinforce(decay=0.95).get_config()["decay"]
    0.95
    """

    def __init__(self, decay: float = 0.9, **kwargs):
        super().__init__(decay, **kwargs)

    def build(self, input_shape):
        """Creates the running averages; the shape does not matter."""
        self.mean = self.add_average((), "mean")
        self.square = self.add_average((), "square")
        self.mass = self.add_average((), "mass")
        self.built = True

    def observe(
        self, model, transition: Transition, active: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Returns which classes had an effect, and the advantage."""
        # A class also counts if all its candidates were dropped: its low
        # weight had that effect.
        labels = transition.candidates
        counts = tf.math.unsorted_segment_sum(
            tf.ones_like(labels, tf.float32), labels, model.num_source_classes
        )
        present = total(counts) > 0
        levels = model.policy.draw(model.steps_taken).levels
        return levels, present, self._advantage(transition.reward, active)

    def policy_loss(
        self,
        policy: WeightPolicy,
        levels: tf.Tensor,
        present: tf.Tensor,
        advantage: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the loss whose gradient is that of REINFORCE."""
        log_probs = policy.log_probs(levels, present)
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
        for average, value in (
            (self.mean, reward),
            (self.square, reward**2),
            (self.mass, 1.0),
        ):
            change = active * (1 - self.decay) * (value - average.value)
            average.assign(average.value + change)
        return tf.clip_by_value(advantage, -BOUND, BOUND)
