"""L2TL: learning to transfer learn (Zhu, Arik, Yang, Pfister 2020).

Trains source and target jointly while a policy, rewarded by the target's
validation images, learns the weights of the source classes:

    model = L2TL(encoder, num_source_classes, num_target_classes)
    model.compile("sgd", policy_optimizer="adam")
    model.fit(streams(source, target, validation))
    model.importance_weights(), model.classifier()
"""

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl import rewards
from tf_transfer.l2tl.credits import lookup
from tf_transfer.l2tl.policy import FixedPolicy, WeightPolicy
from tf_transfer.l2tl.two_heads import TwoHeadModel
from tf_transfer.l2tl.types import Actions, Batch, Transition
from tf_transfer.training.distribution import num_replicas
from tf_transfer.utils import checks, randomness, weighting


@keras.saving.register_keras_serializable("tf_transfer")
class L2TL(TwoHeadModel):
    """An encoder with a source and a target head, trained in two phases.

    Zhu et al. 2020, section 3. Every training step takes one optimizer step on
    `scale * weighted source loss + target loss`, with class weights and scale
    drawn by the policy, and then, with the model fixed, one policy step by
    what the validation images show. Called, evaluated or asked to predict,
    the model is the target classifier.

    Beyond the passes of source, target and validation batch through the
    encoder a step takes O(batch + classes levels) time, and as much memory;
    the credit `"feature"` O(batch^2 + classes target classes), `"gradient"` a
    backward and a forward-mode pass, through half of the encoder.

    Args:
        encoder: a built Keras model from images to features `[B, D]`.
        num_source_classes: the number of source classes C.
        num_target_classes: the number of target classes.
        policy: a `WeightPolicy` (by default flat) or a `FixedPolicy`.
        credit: how the policy learns: `"feature"`, `"gradient"` or
            `"reinforce"` (the paper's), or a configured object of `credit`.
        reward: `"accuracy"`, `"auc"`, `"mean_per_class_accuracy"`,
            `"negative_loss"`, or a Keras metric over class numbers and logits.
            `"reinforce"` learns from it; the other credits measure the effect
            on the validation images themselves, and it is only logged.
        improvement: reward the change of the metric by the step, not its
            level; one more pass over the validation batch.
        oversample: M: of every source batch keep the 1/M with the largest
            weights, ties broken at random (of each replica's part); 1 weighs
            all of them.
        policy_warmup: first steps in which the policy stays as it is: in a
            shorter `fit` it learns nothing.
        relabel: with `relate`, learn from a source image what its class tells
            of the target classes, not the class itself.
        seed: of the ties.

    Raises:
        InputError: for parts that do not go together.

    After training, `importance_weights()` gives the learned weights and
    `classifier()` the target model.

    Example:

    >>> import tf_transfer as tt
    >>> encoder = tt.small_encoder((8, 8, 1), width=4)
    >>> model = L2TL(encoder, num_source_classes=3, num_target_classes=2)
    >>> model.compile("sgd", policy_optimizer="adam", metrics=["accuracy"])
    >>> model.importance_weights().tolist()
    [1.0, 1.0, 1.0]
    """

    tracked = (*TwoHeadModel.tracked, "scale", "reward", "policy_entropy")

    def __init__(
        self,
        encoder: keras.Model,
        num_source_classes: int,
        num_target_classes: int,
        *,
        policy: WeightPolicy | FixedPolicy | None = None,
        credit: str | keras.layers.Layer = "feature",
        reward: str | keras.metrics.Metric = "accuracy",
        improvement: bool = False,
        oversample: int = 1,
        policy_warmup: int = 200,
        relabel: bool = False,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(
            encoder, num_source_classes, num_target_classes, relabel, **kwargs
        )
        if policy is None:
            policy = WeightPolicy(num_source_classes)
        if not isinstance(policy, (WeightPolicy, FixedPolicy)):
            raise InputError(
                "`policy` must be a WeightPolicy or a FixedPolicy. "
                f"Received: {type(policy).__name__}"
            )
        if policy.num_source_classes != num_source_classes:
            raise InputError(
                "The policy must be made for the model's source classes, "
                f"{num_source_classes}. Received: {policy.num_source_classes}"
            )
        if oversample < 1 or policy_warmup < 0:
            raise InputError(
                "`oversample` must be at least 1 and `policy_warmup` not "
                f"negative. Received: {oversample=}, {policy_warmup=}"
            )
        self.policy = policy
        self.credit = lookup.credit(credit)
        if not self.credit.built:
            self.credit.build((num_source_classes, num_target_classes))
        self._given_reward = _Untracked(reward)
        self.improvement = bool(improvement)
        self.oversample = int(oversample)
        self.policy_warmup = int(policy_warmup)
        self.seed = int(seed)
        self.steps_taken = self.add_weight(
            (),
            "zeros",
            dtype="int64",
            name="steps_taken",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.built = True

    def get_config(self) -> dict:
        serialize = keras.saving.serialize_keras_object
        reward = self._given_reward.value
        return {
            "name": self.name,
            "encoder": serialize(self.encoder),
            "num_source_classes": self.num_source_classes,
            "num_target_classes": self.num_target_classes,
            "policy": serialize(self.policy),
            "credit": serialize(self.credit),
            "reward": reward if isinstance(reward, str) else serialize(reward),
            "improvement": self.improvement,
            "oversample": self.oversample,
            "policy_warmup": self.policy_warmup,
            "relabel": self.relation is not None,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict) -> "L2TL":
        for name in ("encoder", "policy", "credit", "reward"):
            if isinstance(config[name], dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name]
                )
        return cls(**config)

    def compile(
        self,
        optimizer="sgd",
        policy_optimizer="adam",
        loss=None,
        metrics=None,
        **kwargs,
    ) -> None:
        """Sets both optimizers, and what `evaluate` measures on the target.

        Args:
            optimizer: of encoder and heads; schedules, weight decay and
                clipping are its settings.
            policy_optimizer: of the policy's logits.
            loss: of both heads, by default the cross-entropy of logits; a
                Keras loss over class numbers.
            metrics: Keras metrics over target labels and logits.
            **kwargs: of `keras.Model.compile`.
        """
        super().compile(optimizer, loss, metrics, **kwargs)
        self.policy_optimizer = keras.optimizers.get(policy_optimizer)
        if self.policy.trainable_variables:
            self.policy_optimizer.build(self.policy.trainable_variables)
            metric = rewards.reward_metric(
                self._given_reward.value,
                self.num_target_classes,
                self.example_losses,
            )
            if not metric.variables:
                raise InputError(
                    "The reward metric must have its variables from the "
                    f"start. Received: {metric.name!r} without any"
                )
            self._reward_metric = _Untracked(metric)

    def get_compile_config(self) -> dict:
        return super().get_compile_config() | {
            "policy_optimizer": keras.saving.serialize_keras_object(
                self.policy_optimizer
            )
        }

    def compile_from_config(self, config: dict) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def train_step(self, data):
        """One iteration: the model phase, then the policy phase."""
        if not isinstance(data, dict):
            raise InputError(
                "L2TL trains on what `streams` returns. "
                f"Received: {type(data).__name__}"
            )
        learns = bool(self.policy.trainable_variables)
        if learns and "validation" not in data:
            raise InputError(
                "A policy that learns needs a validation stream; see "
                f"`streams`. Received: {', '.join(data)}"
            )
        before = self._reward_before(data) if learns else 0.0
        actions = self.policy.draw(self.steps_taken)
        source, class_weights = self._select(data["source"], actions)
        features, logs = self.joint_step(
            source, class_weights, actions.scale, data["target"]
        )
        logs["scale"] = actions.scale
        if learns:
            validation, slope = self.credit.look(self, *data["validation"])
            reward = self._reward(validation) - before
            kept = Batch(*source, features)
            self._policy_phase(
                Transition(
                    actions,
                    data["source"][1],
                    kept,
                    validation,
                    reward,
                    slope,
                )
            )
            logs["reward"] = reward
            logs["policy_entropy"] = self.policy.mean_entropy()
        self.steps_taken.assign_add(1)
        return self.joint_logs(logs, data["target"][1])

    def _select(self, source, actions: Actions):
        """Keeps the candidates with the largest class weights."""
        images, labels = source
        class_weights = weighting.weight_of(actions.weights, labels)
        if self.oversample == 1:
            return (images, labels), class_weights
        count = labels.shape[0]
        if not count or count < self.oversample:
            raise InputError(
                "Source batches must have a fixed size (drop_remainder=True) "
                f"of at least `oversample`={self.oversample}. "
                f"Received: {count}"
            )
        chosen = randomness.largest(
            class_weights, count // self.oversample, self.seed, self.steps_taken
        )
        picked = [tf.gather(part, chosen) for part in (images, labels)]
        return picked, tf.gather(class_weights, chosen)

    def _policy_phase(self, evidence: Transition) -> None:
        """One optimizer step on the policy; the model stays."""
        learned = self.policy.trainable_variables
        active = tf.cast(self.steps_taken >= self.policy_warmup, tf.float32)
        with tf.GradientTape() as tape:
            loss = self.credit.policy_loss(self, evidence, active)
            loss -= self.policy.bonus()
        gradients = tape.gradient(loss, [v.value for v in learned])
        # The optimizer adds up the replicas' gradients, which are equal.
        share = active / num_replicas()
        self.policy_optimizer.apply([g * share for g in gradients], learned)

    def look(self, images, labels) -> Batch:
        """Passes images through the encoder as it is, without dropout."""
        features = self.encoder(images, training=False)
        return Batch(images, labels, tf.cast(features, tf.float32))

    def _reward(self, validation: Batch) -> tf.Tensor:
        logits = self.target_head(validation.features)
        metric = self._reward_metric.value
        return rewards.evaluate(metric, validation.labels, logits)

    def _reward_before(self, data) -> tf.Tensor | float:
        if self.improvement:
            return self._reward(self.look(*data["validation"]))
        return 0.0

    def importance_weights(
        self, source_prior: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the expected class weights, `[C]` float64, mean 1.

        Args:
            source_prior: P_s, `[C]`, under which the mean is 1; by default
                that of equally frequent classes.

        Raises:
            InputError: for a prior that is none.
        """
        count = self.num_source_classes
        if source_prior is None:
            source_prior = np.full(count, 1 / count)
        expected = np.array(self.policy.expected_weights())
        return weighting.normalise(
            expected, checks.check_prior(source_prior, count)
        )


class _Untracked:
    """Keeps a metric out of the model's own metrics."""

    def __init__(self, value: str | keras.metrics.Metric):
        self.value = value
