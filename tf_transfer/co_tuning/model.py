"""Co-tuning: fine-tuning that keeps the source head (You et al. 2020).

With a trained source model and a few labelled target images:

    relation = class_relation(source_model, target, num_target_classes)
    model = CoTuning(source_model, relation)
    model.compile("sgd", metrics=["accuracy"])
    model.fit(target)
    model.classifier()
"""

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.models import classifiers, copies
from tf_transfer.training.distribution import DistributedTrainer

_SUM_ERROR = 1e-3


class CoTuning(DistributedTrainer, keras.Model):
    """A target classifier that is trained together with the source head.

    The loss of a target image of class y is `CE(target head, y) + weight *
    CE(source head, p(y_s | y))`: the source head goes on seeing the source
    classes that the class looks like (You et al. 2020, Co-Tuning, section 3).
    With few labels, that keeps the encoder from forgetting.

    In `call`, `evaluate` and `predict`, the model is the target classifier.
    Save `classifier()`, not this model.

    Args:
        source: a trained source classifier of C_s classes that ends in a Dense
            layer of logits. It is copied.
        relation: p(y_s | y_t), `[C_t, C_s]`, whose rows sum to 1; see
            `class_relation`. The target head starts as the mixture of source
            classes that it gives.
        weight: of the source head's loss.

    Raises:
        InputError: if the model has no such head, `relation` does not fit, or
            `weight` is negative.

    Example:

    >>> import tf_transfer as tt
    >>> source = tt.classifier(tt.small_encoder((8, 8, 1), width=4), 3)
    >>> model = CoTuning(source, [[.5, .5, 0], [0, 0, 1]])
    >>> model.compile("sgd", metrics=["accuracy"])
    >>> model.classifier().output_shape
    (None, 2)
    """

    def __init__(
        self,
        source: keras.Model,
        relation: np.ndarray,
        *,
        weight: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 <= weight < np.inf:
            raise InputError(
                f"`weight` must be finite and not negative. Received: {weight=}"
            )
        relation = _checked(relation)
        target = classifiers.replace_head(source, len(relation), relation)
        self.weight = float(weight)
        self.encoder, self.target_head = target.layers
        self.source_head = classifiers.head(relation.shape[1], "source_head")
        self.source_head.build(self.encoder.output_shape)
        self._set_source_head(classifiers.head_of(source))
        self.relation = self.add_weight(
            relation.shape, dtype="float32", trainable=False, name="relation"
        )
        self.relation.assign(relation)
        self.built = True

    def compile(self, optimizer="sgd", loss=None, **kwargs):
        """Sets the optimizer, and the loss of the target head.

        Args:
            optimizer: of encoder and heads.
            loss: over class numbers and logits; by default the cross-entropy.
            **kwargs: further arguments of `keras.Model.compile`; the metrics
                are of the target head.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        super().compile(optimizer, loss, **kwargs)
        self._source_loss = keras.losses.CategoricalCrossentropy(
            from_logits=True
        )

    def call(self, inputs, training=None):
        """Returns target logits; in training those of both heads."""
        features = self.encoder(inputs, training=training)
        logits = self.target_head(features)
        if not training:
            return logits
        return {"target": logits, "source": self.source_head(features)}

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Returns the target's loss, in training that of both heads."""
        source = None
        if isinstance(y_pred, dict):
            y_pred, source = y_pred["target"], y_pred["source"]
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if source is None:
            return loss
        if len(y.shape) > 1 and y.shape[-1] != 1:
            raise InputError(
                "Labels must be class numbers [B], not one-hot. "
                f"Received: labels of shape {tuple(y.shape)}"
            )
        labels = tf.reshape(tf.cast(y, tf.int32), [-1])
        shares = tf.gather(self.relation.value, labels)
        source_loss = self._source_loss(shares, source, sample_weight)
        return loss + self.weight * source_loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Returns the metrics of the target head."""
        if isinstance(y_pred, dict):
            y_pred = y_pred["target"]
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def restart(self, source: keras.Model, relation: np.ndarray) -> None:
        """Starts again from another source model of the same layers.

        Args:
            source: gives encoder and source head.
            relation: as in the constructor.

        Raises:
            InputError: if layers or classes are others, or the encoder then
                computes something else.
        """
        relation, body = _checked(relation), classifiers.encoder_of(source)
        shapes = [
            [w.shape for w in each.get_weights()]
            for each in (body, self.encoder)
        ]
        if shapes[0] != shapes[1] or relation.shape != self.relation.shape:
            raise InputError(
                "The source model must have this model's encoder, and the "
                f"relation the shape {tuple(self.relation.shape)}. Received: "
                f"weights of {shapes[0]}, a relation of {relation.shape}"
            )
        head = classifiers.head_of(source)
        mixed = classifiers.mixed_head(head, len(relation), relation)
        copies.take_over(self.encoder, body)
        self._set_source_head(head)
        self.target_head.set_weights(mixed)
        self.relation.assign(relation)

    def _set_source_head(self, head: keras.layers.Layer) -> None:
        """Copies a source head; one with LoRA or int8 by what it computes."""
        count = self.source_head.units
        self.source_head.set_weights(
            classifiers.mixed_head(head, count, np.eye(count))
        )

    def classifier(self) -> keras.Model:
        """Returns encoder and target head as one model, which outputs logits.

        It shares its layers with this model.
        """
        return keras.Sequential(
            [self.encoder, self.target_head], name="classifier"
        )


def _checked(relation: np.ndarray) -> np.ndarray:
    """Returns a relation `[C_t, C_s]` as float32.

    Raises:
        InputError: unless its rows are shares of sum 1.
    """
    relation = np.asarray(relation, np.float32)
    if (
        relation.ndim != 2
        or not relation.size
        or not (relation >= 0).all()
        or not np.allclose(relation.sum(axis=1), 1, atol=_SUM_ERROR)
    ):
        raise InputError(
            "`relation` must hold shares, [target classes, source classes], "
            f"whose rows sum to 1. Received: shape {relation.shape}"
        )
    return relation
