"""L2TL: learning to transfer learn (Zhu, Arik, Yang, Pfister 2020).

Trains source and target jointly, while a policy learns the weights of the
source classes from the target's validation images:

    model = L2TL(encoder, num_source_classes, num_target_classes)
    model.compile("sgd", policy_optimizer="adam")
    model.fit(streams(source, target, validation))
    model.importance_weights(), model.classifier()
"""

import warnings

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl import argument_checks, rewards
from tf_transfer.l2tl.credits import lookup
from tf_transfer.l2tl.policy import FixedPolicy, WeightPolicy
from tf_transfer.l2tl.policy_update import update_policy
from tf_transfer.l2tl.two_heads import TwoHeadModel
from tf_transfer.l2tl.types import (
    Actions,
    Batch,
    Transition,
    with_wide_labels,
)
from tf_transfer.utils import checks, randomness, weighting


@keras.saving.register_keras_serializable("tf_transfer")
class L2TL(TwoHeadModel):
    """An encoder with a source and a target head, trained in two phases.

    Zhu et al. 2020, section 3. Every training step has two phases. The model
    phase takes one optimizer step on `scale * weighted source loss + target
    loss`, with class weights and scale drawn by the policy. The policy phase
    keeps the model fixed and takes one optimizer step on the policy, guided by
    the validation images. In `call`, `evaluate` and `predict`, the model is
    the target classifier.

    A step passes the source, target and validation batches through the
    encoder. Beyond that it takes O((batch + classes) * levels) time and memory.
    Without a strategy, XLA compiles the policy's update if it is large.
    The credit `"feature"` adds O(batch^2 + classes * target classes);
    `"gradient"` adds a backward and a forward-mode pass through half of the
    encoder.

    Args:
        encoder: a built Keras model from images to features `[B, D]`.
        num_source_classes: the number of source classes C.
        num_target_classes: the number of target classes.
        policy: a `WeightPolicy` (by default flat) or a `FixedPolicy`.
        credit: how the policy learns: `"feature"`, `"gradient"`,
            `"reinforce"` (the paper's), or a credit such as
            `FeatureCredit(sharpness=5.0)`.
        reward: `"accuracy"`, `"auc"`, `"mean_per_class_accuracy"`,
            `"negative_loss"`, or a Keras metric over class numbers and logits.
            Only `"reinforce"` learns from it. The other credits measure the
            effect on the validation images themselves, and log the reward.
        improvement: reward the change of the metric in the step, not its
            value; takes one more pass over the validation batch.
        oversample: M; of every source batch keep the 1/M of the examples with
            the largest weights, ties broken at random (with replicas, of each
            replica's part). 1 keeps all examples.
        policy_warmup: number of first steps in which the policy does not
            learn. A shorter `fit` leaves the policy as it was.
        relabel: train source images on the soft target labels that `relate`
            sets for their class, instead of on the class itself.
        seed: of the ties.

    Raises:
        InputError: if a setting is invalid, or the policy was made for
            another number of classes.

    After training, `importance_weights()` returns the learned weights and
    `classifier()` the target model.

    Example:

    >>> import tf_transfer as tt
    >>> encoder = tt.small_encoder((8, 8, 1), width=4)
    >>> model = L2TL(encoder, num_source_classes=3, num_target_classes=2)
    >>> model.compile("sgd", policy_optimizer="adam", metrics=["accuracy"])
    >>> model.importance_weights().tolist()
    [1.0, 1.0, 1.0]
    """

    averaged_logs = (
        *TwoHeadModel.averaged_logs,
        "scale",
        "reward",
        "policy_entropy",
    )

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
        argument_checks.check_policy(policy, num_source_classes)
        if oversample < 1 or policy_warmup < 0:
            raise InputError(
                "`oversample` must be at least 1 and `policy_warmup` not "
                f"negative. Received: {oversample=}, {policy_warmup=}"
            )
        self.policy = policy
        self.credit = lookup.get(credit)
        if not self.credit.built:
            self.credit.build((num_source_classes, num_target_classes))
        self.reward = rewards.Reward(reward)
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
        return {
            "name": self.name,
            "encoder": serialize(self.encoder),
            "num_source_classes": self.num_source_classes,
            "num_target_classes": self.num_target_classes,
            "policy": serialize(self.policy),
            "credit": serialize(self.credit),
            "reward": self.reward.serialize(),
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
        """Sets both optimizers, the loss, and the metrics on the target.

        Args:
            optimizer: for encoder and heads. Schedules, weight decay and
                clipping are settings of the optimizer.
            policy_optimizer: for the policy's logits. Its steps, and those
                of a schedule, count from the start of the warm-up. If it
                accumulates gradients, the warm-up must be a multiple of that.
            loss: of both heads, a `keras.losses.Loss` over class numbers; by
                default the cross-entropy of logits.
            metrics: Keras metrics over target labels and logits.
            **kwargs: further arguments of `keras.Model.compile`.

        Raises:
            InputError: if the loss, the reward or a setting cannot be used.
        """
        policy_optimizer = keras.optimizers.get(policy_optimizer)
        if self.policy.trainable_variables:
            argument_checks.check_policy_optimizer(
                policy_optimizer, self.policy_warmup
            )
        super().compile(optimizer, loss, metrics, **kwargs)
        self.policy_optimizer = policy_optimizer
        if self.policy.trainable_variables:
            self.policy_optimizer.build(self.policy.trainable_variables)
            self.reward.build(self.num_target_classes, self.example_losses)

    def export(self, filepath, *args, **kwargs) -> None:
        """Exports the target classifier, as `keras.Model.export` does."""
        self.classifier().export(filepath, *args, **kwargs)

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
        learns = bool(self.policy.trainable_variables)
        argument_checks.check_streams(data, learns)
        data = with_wide_labels(data)
        source, target = data["source"], data["target"]
        reward_before = 0.0
        if learns and self.improvement:
            reward_before = self._reward(self.encode_batch(*data["validation"]))

        # Model phase.
        actions = self.policy.draw(self.steps_taken, classes=source[1])
        selected, class_weights = self._select(source, actions)
        features, source_gradients, logs = self.joint_step(
            selected, class_weights, actions.scale, target
        )
        logs["scale"] = actions.scale

        # Policy phase.
        if learns:
            validation, gradients = self.credit.encode_validation(
                self, *data["validation"]
            )
            transition = Transition(
                actions,
                candidates=source[1],
                source=Batch(*selected, features),
                source_gradients=source_gradients,
                validation=validation,
                reward=self._reward(validation) - reward_before,
                validation_gradients=gradients,
            )
            logs["reward"] = transition.reward
            logs["policy_entropy"] = self._policy_phase(transition)

        self.steps_taken.assign_add(1)
        return self.joint_logs(logs, target[1])

    def _select(self, source, actions: Actions):
        """Selects the candidates with the largest class weights.

        Returns:
            Images and labels of the selected examples, and their weights.
        """
        images, labels = source
        class_weights = actions.weights
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
        selected = [tf.gather(part, chosen) for part in (images, labels)]
        return selected, tf.gather(class_weights, chosen)

    def _policy_phase(self, transition: Transition) -> tf.Tensor:
        """Takes one step on the policy, with the model fixed.

        Returns:
            The mean entropy of the policy before the step.
        """
        active = tf.cast(self.steps_taken >= self.policy_warmup, tf.float32)
        return update_policy(
            self.policy,
            self.policy_optimizer,
            self.credit,
            active,
            self.credit.observe(self, transition, active),
        )

    def encode_batch(self, images, labels) -> Batch:
        """Returns a batch with its features, computed in inference mode."""
        # Losses and metrics of layers are those of the target's pass.
        with keras.StatelessScope():
            features = self.encoder(images, training=False)
        return Batch(images, labels, tf.cast(features, tf.float32))

    def _reward(self, validation: Batch) -> tf.Tensor:
        logits = self.target_head(validation.features)
        return self.reward.evaluate(validation.labels, logits)

    def importance_weights(
        self, source_prior: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the expected class weights, `[C]` float64, mean 1.

        Warns if the training has ended before the policy could learn.

        Args:
            source_prior: P_s, `[C]`, under which the mean is 1; by default
                all classes are equally frequent.

        Raises:
            InputError: if `source_prior` is not a probability vector.
        """
        taken = int(tf.convert_to_tensor(self.steps_taken.value))
        learns = self.policy.trainable_variables
        if learns and 0 < taken <= self.policy_warmup:
            warnings.warn(
                "The policy has not learned yet: the model was trained for "
                f"{taken} steps, and `policy_warmup` is "
                f"{self.policy_warmup}.",
                stacklevel=2,
            )
        count = self.num_source_classes
        if source_prior is None:
            source_prior = np.full(count, 1 / count)
        expected = np.array(self.policy.expected_weights())
        return weighting.normalise(
            expected, checks.check_prior(source_prior, count)
        )
