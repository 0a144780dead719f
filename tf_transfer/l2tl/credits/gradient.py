"""Credits by the first-order effect through the encoder."""

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

    def effects(
        self, model, evidence: Transition
    ) -> tuple[tf.Tensor, tf.Tensor]:
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
