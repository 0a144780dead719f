"""The gradient credit: first-order effects through the encoder."""

import keras
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl import losses
from tf_transfer.l2tl.credits.base import ClassCredit
from tf_transfer.l2tl.types import Batch, Transition
from tf_transfer.training.distribution import total


@keras.saving.register_keras_serializable("tf_transfer")
class GradientCredit(ClassCredit):
    """Credits a class with its first-order effect through the encoder.

    The effect of a source example is the inner product of its gradient with
    the mean gradient of the validation images. It takes one backward pass on
    the validation images and one forward-mode pass (Jacobian-vector product)
    on the source batch, both without dropout. By default only the later half
    of the encoder counts, which measured better than the whole and costs less.

    Args:
        objective: `"log_odds"` of the right class, for which images that are
            already classified well count too, or `"loss"`, the effect on the
            validation loss. Source images with target labels (`relabel`)
            always count by their loss.
        depth: share of the encoder's `trainable_variables` that count, taken
            from the end; 1 for all.
        decay: weight of the past per example of a class.

    Raises:
        InputError: for an unknown objective, or if `depth` is invalid.

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
        """Returns the present values of the encoder's variables that count."""
        variables = model.encoder.trainable_variables
        if not variables:
            raise InputError(
                "The credit `gradient` needs an encoder with trainable "
                "variables; `feature` works without. "
                f"Received: {model.encoder.name!r}, which has none"
            )
        count = max(1, round(self.depth * len(variables)))
        return [v.value for v in variables[-count:]]

    def encode_validation(
        self, model, images, labels
    ) -> tuple[Batch, list[tf.Tensor]]:
        values = self.values(model)
        count = total(tf.cast(tf.shape(labels)[0], tf.float32))
        with tf.GradientTape() as tape:
            batch = model.encode_batch(images, labels)
            logits = model.target_head(batch.features)
            mean = tf.reduce_sum(self._scores(model, labels, logits)) / count
        gradients = tape.gradient(mean, values, unconnected_gradients="zero")
        return batch, [total(tf.convert_to_tensor(part)) for part in gradients]

    def effects(
        self, model, transition: Transition
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels, _ = transition.source
        values = self.values(model)
        with tf.autodiff.ForwardAccumulator(
            values, transition.validation_gradients
        ) as forward:
            with keras.StatelessScope():
                features = model.encoder(images, training=False)
            if model.relation is None:
                logits = model.source_head(features)
                scores = self._scores(model, labels, logits)
            else:  # soft labels have no single right class
                scores = -model.source_losses(labels, features)
        effects = forward.jvp(scores, unconnected_gradients="zero")
        return effects[:, None], tf.ones([1])

    def _scores(self, model, labels, logits) -> tf.Tensor:
        """Returns the objective of every example, `[B]`; larger is better."""
        if self.objective == "loss":
            return -model.example_losses(labels, logits)
        return losses.log_odds(labels, logits)
