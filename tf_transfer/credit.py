"""Who gets the credit: from one step's evidence to the policy's loss.

Zhu et al. 2020 credit all classes with one scalar reward (`Reinforce`). Its
spread drowns what a single class did; measured, the policy learns nothing by
it. The others measure what every source class does to the validation images
and average that over steps: `FeatureCredit` on the encoder's output, which
costs next to nothing, and `GradientCredit` through the whole encoder.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from tf_transfer import losses
from tf_transfer.distribution import gathered, total
from tf_transfer.errors import InputError
from tf_transfer.policy import WeightPolicy
from tf_transfer.steps import Batch, Evidence

_LARGEST = 3.0


def _state(layer: keras.layers.Layer, shape: tuple, name: str):
    """Adds a variable that is the same on all replicas."""
    return layer.add_weight(
        shape,
        "zeros",
        name=name,
        trainable=False,
        aggregation="only_first_replica",
    )


class Credit(keras.layers.Layer):
    """Base of the credits.

    Args:
        decay: weight of the past in the running figures.
    """

    def __init__(self, decay: float, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= decay < 1:
            raise InputError(
                f"`decay` must be at least 0 and below 1. Received: {decay}"
            )
        self.decay = float(decay)

    def get_config(self) -> dict:
        return super().get_config() | {"decay": self.decay}

    def look(self, model, images, labels) -> tuple[Batch, list | None]:
        """Passes validation images through the encoder, once."""
        return model.look(images, labels), None

    def policy_loss(self, model, evidence: Evidence, active: tf.Tensor):
        """Returns the loss by whose gradient the policy learns.

        Args:
            model: the `L2TL` model.
            evidence: of this step.
            active: 1, or 0 while the policy is frozen and nothing is kept.
        """
        raise NotImplementedError


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
        self.mean = _state(self, (), "mean")
        self.square = _state(self, (), "square")
        self.mass = _state(self, (), "mass")
        self.built = True

    def policy_loss(self, model, evidence: Evidence, active: tf.Tensor):
        """Returns the loss whose gradient is that of REINFORCE."""
        labels = evidence.source.labels
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
        return tf.clip_by_value(advantage, -_LARGEST, _LARGEST)


class ClassCredit(Credit):
    """Base of the credits that tell the source classes apart.

    Keeps a table of the average effect of every source class on every group
    of validation images, and credits a class with the sum of its effects on
    the groups, standardised over the classes.

    Args:
        decay: weight of the past per example of a class.
    """

    def __init__(self, decay: float = 0.995, **kwargs):
        super().__init__(decay, **kwargs)

    def build(self, input_shape):
        """Creates the table; `input_shape` is (source classes, groups)."""
        self.sums = _state(self, input_shape, "sums")
        self.mass = _state(self, input_shape, "mass")
        self.built = True

    def policy_loss(self, model, evidence: Evidence, active: tf.Tensor):
        """Returns minus the credit that the policy earns on average."""
        self._average(model, evidence, active)
        return -model.policy.expected_credit(*self.credit(model.policy))

    def effects(self, model, evidence: Evidence) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the effect of each source example on each group.

        Returns:
            The mean effects `[B, groups]`, and whether there were images of
            the group, `[groups]` float32; the same on all replicas.
        """
        raise NotImplementedError

    def _average(self, model, evidence: Evidence, active) -> None:
        effects, known = self.effects(model, evidence)
        sums = tf.math.unsorted_segment_sum(
            tf.concat([effects, tf.ones_like(effects[:, :1])], axis=1),
            evidence.source.labels,
            model.num_source_classes,
        )
        sums = total(sums)
        count = sums[:, -1:]
        means = tf.math.divide_no_nan(sums[:, :-1], count)
        rate = active * (1 - self.decay**count) * known
        self.sums.assign(self.sums + rate * (means - self.sums))
        self.mass.assign(self.mass + rate * (1 - self.mass))

    def table(self) -> tf.Tensor:
        """Returns the average effects, `[C, groups]`; 0 where unknown."""
        return tf.math.divide_no_nan(self.sums.value, self.mass.value)

    def gains(self, table: tf.Tensor) -> tf.Tensor:
        """Returns what each class is worth, `[C]`, from the table."""
        return tf.reduce_sum(table, axis=1)

    def credit(self, policy: WeightPolicy) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the credit of the classes, `[C]`, and of the source loss.

        Gains less their mean, in standard deviations over the classes seen so
        far; an unseen class has 0. The source loss as a whole is credited
        with the mean effect of the source as it is weighted now.
        """
        table = self.table()
        seen = tf.cast(tf.reduce_any(self.mass.value > 0, axis=1), tf.float32)
        gains = self.gains(table)
        mean = losses.weighted_mean(gains, seen)
        variance = losses.weighted_mean((gains - mean) ** 2, seen)
        spread = tf.sqrt(variance + 1e-12)
        overall = losses.weighted_mean(
            tf.reduce_sum(table, axis=1), seen * policy.expected_weights()
        )

        def bounded(value):
            return tf.clip_by_value(value / spread, -_LARGEST, _LARGEST)

        return seen * bounded(gains - mean), bounded(overall)


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

    Args:
        objective: `"log_odds"` of the right class, which counts known images
            too, or `"loss"`, the exact effect on the validation loss.
        decay: weight of the past per example of a class.

    Raises:
        InputError: for another objective.

    Example:

    >>> GradientCredit(objective="loss").get_config()["objective"]
    'loss'
    """

    def __init__(self, objective: str = "log_odds", **kwargs):
        super().__init__(**kwargs)
        if objective not in ("log_odds", "loss"):
            raise InputError(
                "`objective` must be log_odds or loss. "
                f"Received: objective={objective!r}"
            )
        self.objective = objective

    def get_config(self) -> dict:
        return super().get_config() | {"objective": self.objective}

    def build(self, input_shape):
        """Creates the table, with all validation images as one group."""
        super().build((input_shape[0], 1))

    def look(self, model, images, labels) -> tuple[Batch, list | None]:
        values = [v.value for v in model.encoder.trainable_variables]
        count = total(tf.cast(tf.shape(labels)[0], tf.float32))
        with tf.GradientTape() as tape:
            found = model.look(images, labels)
            logits = model.target_head(found.features)
            gain = tf.reduce_sum(self._gain(model, labels, logits)) / count
        slope = tape.gradient(gain, values, unconnected_gradients="zero")
        return found, [total(tf.convert_to_tensor(part)) for part in slope]

    def effects(self, model, evidence: Evidence) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels, _ = evidence.source
        values = [v.value for v in model.encoder.trainable_variables]
        with tf.autodiff.ForwardAccumulator(values, evidence.slope) as forward:
            logits = model.source_head(model.encoder(images, training=False))
            gain = self._gain(model, labels, logits)
        return forward.jvp(gain)[:, None], tf.ones([1])

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
