"""Who gets the credit: from one step's evidence to the policy's loss.

Zhu et al. 2020 credit all classes with one scalar reward (`Reinforce`). Its
spread drowns what a single class did; measured, the policy learns nothing by
it. The others measure what every source class does to the validation images
and average that over steps: `FeatureCredit` on the encoder's output, which
costs next to nothing, and `GradientCredit` through the encoder.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from tf_transfer import losses
from tf_transfer.credit_base import LARGEST, ClassCredit, Credit, state
from tf_transfer.distribution import gathered, total
from tf_transfer.errors import InputError
from tf_transfer.steps import Batch, Evidence


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

    def policy_loss(self, model, evidence: Evidence, active: tf.Tensor):
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


@keras.saving.register_keras_serializable("tf_transfer")
class FeatureCredit(ClassCredit):
    """Credits a class for the target classes it helps, on the features.

    The effects are `losses.feature_effects`, averaged by target class. Only
    the positive ones count: what a class of source images does to the other
    target classes, the other source classes make good.

    Uses the features of the training pass, so it needs no further pass
    through the encoder.

    Args:
        sharpness: how alike two images must be to affect each other.
        decay: weight of the past per example of a class.

    Raises:
        InputError: for a negative sharpness.

    Example:

    >>> FeatureCredit(sharpness=5.0).get_config()["sharpness"]
    5.0
    """

    def __init__(self, sharpness: float = 10.0, **kwargs):
        super().__init__(**kwargs)
        if not sharpness >= 0:
            raise InputError(
                "`sharpness` must not be negative. "
                f"Received: sharpness={sharpness}"
            )
        self.sharpness = float(sharpness)

    def get_config(self) -> dict:
        return super().get_config() | {"sharpness": self.sharpness}

    def gains(self, table: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.nn.relu(table), axis=1)

    def effects(self, model, evidence: Evidence) -> tuple[tf.Tensor, tf.Tensor]:
        source, validation = evidence.source, evidence.validation
        gradients = gathered(_gradients(model.target_losses, validation))
        effects = losses.feature_effects(
            (source.features, _gradients(model.source_losses, source)),
            (gathered(validation.features), gradients),
            self.sharpness,
        )
        labels = gathered(validation.labels)
        groups = tf.one_hot(labels, model.num_target_classes)
        count = tf.reduce_sum(groups, axis=0)
        means = tf.math.divide_no_nan(tf.matmul(effects, groups), count)
        return means, tf.cast(count > 0, tf.float32)


def _gradients(losses_of: Callable, batch: Batch) -> tf.Tensor:
    """Returns the gradients of each example's loss by its features."""
    with tf.GradientTape() as tape:
        tape.watch(batch.features)
        loss = tf.reduce_sum(losses_of(batch.labels, batch.features))
    return tape.gradient(loss, batch.features)


@keras.saving.register_keras_serializable("tf_transfer")
class GradientCredit(ClassCredit):
    """Credits a class with its first-order effect through the encoder.

    The inner product of every source example's gradient with the gradient
    of the validation images: one backward pass on these and one forward-mode
    pass on the source batch (Jacobian-vector product), both without dropout.
    By default through the later half of the encoder, which measured better
    than the whole, and costs less.

    Args:
        objective: `"log_odds"` of the right class, which counts known images
            too, or `"loss"`, the effect on the validation loss. Source images
            with target labels (`relabel`) always count by their loss.
        depth: share of the encoder's `trainable_variables` that count, from
            the last on; 1 for all.
        decay: weight of the past per example of a class.

    Raises:
        InputError: for another objective, or a depth that cannot be.

    Example:

    >>> GradientCredit(objective="loss").get_config()["objective"]
    'loss'
    """

    def __init__(
        self, objective: str = "log_odds", depth: float = 0.5, **kwargs
    ):
        super().__init__(**kwargs)
        if objective not in ("log_odds", "loss"):
            raise InputError(
                "`objective` must be log_odds or loss. "
                f"Received: objective={objective!r}"
            )
        if not 0 < depth <= 1:
            raise InputError(
                "`depth` must be above 0 and at most 1. "
                f"Received: depth={depth}"
            )
        self.objective = objective
        self.depth = float(depth)

    def get_config(self) -> dict:
        return super().get_config() | {
            "objective": self.objective,
            "depth": self.depth,
        }

    def build(self, input_shape):
        """Creates the table, with all validation images as one group."""
        super().build((input_shape[0], 1))

    def values(self, model) -> list[tf.Tensor]:
        """Returns the encoder's variables that count, as they are now."""
        variables = model.encoder.trainable_variables
        count = max(1, round(self.depth * len(variables)))
        return [v.value for v in variables[-count:]]

    def look(self, model, images, labels) -> tuple[Batch, list | None]:
        values = self.values(model)
        count = total(tf.cast(tf.shape(labels)[0], tf.float32))
        with tf.GradientTape() as tape:
            found = model.look(images, labels)
            logits = model.target_head(found.features)
            gain = tf.reduce_sum(self._gain(model, labels, logits)) / count
        slope = tape.gradient(gain, values, unconnected_gradients="zero")
        return found, [total(tf.convert_to_tensor(part)) for part in slope]

    def effects(self, model, evidence: Evidence) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels, _ = evidence.source
        values = self.values(model)
        with tf.autodiff.ForwardAccumulator(values, evidence.slope) as forward:
            features = model.encoder(images, training=False)
            if model.relation is None:
                logits = model.source_head(features)
                gain = self._gain(model, labels, logits)
            else:  # soft labels have no odds of the right class
                gain = -model.source_losses(labels, features)
        effects = forward.jvp(gain, unconnected_gradients="zero")
        return effects[:, None], tf.ones([1])

    def _gain(self, model, labels, logits) -> tf.Tensor:
        if self.objective == "loss":
            return -model.example_losses(labels, logits)
        return losses.log_odds(labels, logits)


CREDITS = {
    "feature": FeatureCredit,
    "gradient": GradientCredit,
    "reinforce": Reinforce,
}


def credit(identifier: str | keras.layers.Layer) -> keras.layers.Layer:
    """Returns a credit by name: feature, gradient or reinforce."""
    if isinstance(identifier, Credit):
        return identifier
    if identifier not in CREDITS:
        raise InputError(
            f"`credit` must be one of {', '.join(CREDITS)}. "
            f"Received: credit={identifier!r}"
        )
    return CREDITS[identifier]()
