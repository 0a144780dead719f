"""A shared encoder with a source and a target head."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl import losses
from tf_transfer.models import classifiers
from tf_transfer.training.distribution import (
    DistributedTrainer,
    num_replicas,
    total,
)
from tf_transfer.utils import checks


class TwoHeadModel(DistributedTrainer, keras.Model):
    """Base of models that train source and target jointly on `streams`.

    Called, evaluated or asked to predict, it is the target classifier.

    Args:
        encoder: a built Keras model from images to features `[B, D]`.
        num_source_classes, num_target_classes: outputs of the heads.
        relabel: learn from source images by what `relate` says of their
            class, not by the class itself.

    Attributes:
        tracked: names of the figures besides `loss` and the compiled metrics
            that `joint_logs` averages over an epoch.
    """

    tracked = ("source_loss", "target_loss")

    def __init__(
        self,
        encoder: keras.Model,
        num_source_classes: int,
        num_target_classes: int,
        relabel: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if encoder.built:
            encoder = classifiers.with_shapes(encoder)
        if not encoder.built or len(encoder.output_shape) != 2:
            shape = encoder.output_shape if encoder.built else "not built"
            raise InputError(
                "The encoder must be built and return features [B, D]. "
                f"Received: {encoder.name!r}, {shape}"
            )
        checks.check_class_count(num_source_classes, "num_source_classes")
        checks.check_class_count(num_target_classes, "num_target_classes")
        self.num_source_classes = num_source_classes
        self.num_target_classes = num_target_classes
        self.encoder = encoder
        self.source_head = classifiers.head(num_source_classes, "source_head")
        self.target_head = classifiers.head(num_target_classes, "target_head")
        for layer in (self.source_head, self.target_head):
            layer.build(encoder.output_shape)
        self.relation = None
        if relabel:
            self.relation = self.add_weight(
                (num_source_classes, num_target_classes),
                "zeros",
                name="relation",
                trainable=False,
            )
        self.averages = Averages(self.tracked)

    def compile(self, optimizer="sgd", loss=None, metrics=None, **kwargs):
        """Sets optimizer and loss, the cross-entropy of logits by default.

        Raises:
            InputError: for a loss that is no `keras.losses.Loss`.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._example_loss = keras.losses.get(loss)
        if not isinstance(self._example_loss, keras.losses.Loss):
            raise InputError(
                "`loss` must be a keras.losses.Loss, for one that takes "
                "logits: SparseCategoricalCrossentropy(from_logits=True). "
                f"Received: {loss!r}"
            )
        super().compile(
            optimizer=optimizer,
            loss=self._example_loss,
            metrics=metrics,
            **kwargs,
        )
        # Unbuilt, a resumed optimizer would be reset silently.
        self.optimizer.build(self.model_variables())

    def model_variables(self) -> list[keras.Variable]:
        """Returns the trainable variables of encoder and heads."""
        parts = (self.encoder, self.source_head, self.target_head)
        return [v for part in parts for v in part.trainable_variables]

    def call(self, inputs, training=None):
        """Returns target logits; of the target stream, if given streams."""
        if isinstance(inputs, dict):
            inputs = inputs["target"][0]
        features = self.encoder(inputs, training=training)
        return self.target_head(features)

    def example_losses(self, labels, outputs) -> tf.Tensor:
        """Returns the compiled loss of every example, `[B]` float32."""
        return tf.cast(self._example_loss.call(labels, outputs), tf.float32)

    def relate(self, relation: np.ndarray) -> None:
        """Sets which target classes each source class looks like.

        The target head then learns from the source images too. Their loss is
        the cross-entropy to the row of their class, times how much that row
        tells (`losses.related_loss`); a row of zeros leaves a class to the
        source head.

        Args:
            relation: `[C_s, C_t]`, rows of sum 1 or 0; see `class_relation`.
        """
        shape = (self.num_source_classes, self.num_target_classes)
        found = np.asarray(relation, np.float32)
        sums = found.sum(axis=-1) if found.ndim else found
        if (
            self.relation is None
            or found.shape != shape
            or not (found >= 0).all()
            or not (np.isclose(sums, 1, atol=1e-3) | (sums == 0)).all()
        ):
            raise InputError(
                "`relate` needs a model with `relabel=True`, and shares of "
                f"shape {shape} whose rows have sum 1 or 0. Received: "
                f"relabel={self.relation is not None}, shape {found.shape}"
            )
        self.relation.assign(found)

    def source_losses(self, labels, features) -> tf.Tensor:
        """Returns the loss of every source example, `[B]` float32."""
        own = self.example_losses(labels, self.source_head(features))
        if self.relation is None:
            return own
        relation = self.relation.value
        related = losses.related_loss(
            tf.gather(relation, labels), self.target_head(features)
        )
        known = tf.gather(tf.reduce_sum(relation, axis=1), labels) > 0
        return tf.where(known, related, own)

    def target_losses(self, labels, features) -> tf.Tensor:
        """Returns the loss of every target example, `[B]` float32."""
        return self.example_losses(labels, self.target_head(features))

    def joint_step(
        self, source, class_weights, scale, target
    ) -> tuple[tf.Tensor, Mapping[str, tf.Tensor]]:
        """Takes a step on `scale * weighted source loss + target loss`.

        Means are over the examples of all replicas; regularisers are added
        once.

        Args:
            source: images and labels `[B]`.
            class_weights: of the source examples, `[B]`; only their ratios
                count.
            scale: of the source loss.
            target: images and labels.

        Returns:
            The source features `[B, D]` of this step, and the logs.
        """
        variables = self.model_variables()
        with tf.GradientTape() as tape:
            # What is kept of a pass, as the statistics of batch normalisation,
            # is to be the target's.
            with keras.StatelessScope(collect_losses=True) as pass_alone:
                features = self.encoder(source[0], training=True)
            source_loss = losses.weighted_mean(
                self.source_losses(source[1], features),
                class_weights,
                total(tf.reduce_sum(class_weights)),
            )
            outputs = self(target[0], training=True)
            of_examples = self.example_losses(target[1], outputs)
            count = total(tf.cast(tf.shape(of_examples)[0], tf.float32))
            target_loss = tf.reduce_sum(of_examples) / count
            loss = scale * source_loss + target_loss
            added = [*self.losses, *pass_alone.losses]
            if added:
                regularisers = tf.add_n(added) / num_replicas()
                loss += tf.cast(regularisers, tf.float32)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(
            scaled, variables, unconnected_gradients="zero"
        )
        self.optimizer.apply(gradients, variables)
        parts = {
            "loss": loss,
            "source_loss": source_loss,
            "target_loss": target_loss,
        }
        logs = {name: total(value) for name, value in parts.items()}
        return tf.cast(features, tf.float32), logs | {"outputs": outputs}

    def joint_logs(self, logs: dict, labels: tf.Tensor) -> dict:
        """Updates the metrics and returns the logs of the epoch so far."""
        outputs = logs.pop("outputs")
        for metric in self.metrics:
            if metric is self.averages:
                metric.update_state(logs)
            elif metric.name == "loss":
                metric.update_state(logs["loss"])
            else:
                metric.update_state(labels, outputs)
        unused = set(self.tracked) - set(logs)
        found = self.get_metrics_result()
        return {k: v for k, v in found.items() if k not in unused}

    def test_step(self, data):
        logs = super().test_step(data)
        return {k: v for k, v in logs.items() if k not in self.tracked}

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if isinstance(x, dict):  # Keras builds from a batch of streams
            y = x["target"][1]
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if isinstance(x, dict):
            y = x["target"][1]
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def warm_start(self, generalist: keras.Model) -> None:
        """Copies encoder and source head of a trained source classifier."""
        parts = (
            (self.encoder, classifiers.encoder_of(generalist)),
            (self.source_head, generalist.layers[-1]),
        )
        for mine, given in parts:
            shapes = [w.shape for w in given.get_weights()]
            if [w.shape for w in mine.get_weights()] != shapes:
                raise InputError(
                    "The generalist must have this model's encoder and "
                    f"{self.num_source_classes} classes. "
                    f"Received: {generalist.name!r} with weights of {shapes}"
                )
        for mine, given in parts:
            mine.set_weights(given.get_weights())

    def classifier(self) -> keras.Model:
        """Returns encoder and target head as one model of logits.

        The layers are shared with this model; policy and source head are not
        in it.
        """
        return keras.Sequential(
            [self.encoder, self.target_head], name="classifier"
        )


@keras.saving.register_keras_serializable("tf_transfer")
class Averages(keras.metrics.Metric):
    """Averages figures over an epoch, in one variable.

    It takes far fewer operations than a `Mean` for each.

    Args:
        names: of the figures, and of the entries of the result.
        name: of the metric.

    Example:

    >>> averages = Averages(["loss", "reward"])
    >>> for reward in (0.0, 1.0):
    ...     averages.update_state({"loss": 2.0, "reward": reward})
    >>> {name: float(mean) for name, mean in averages.result().items()}
    {'loss': 2.0, 'reward': 0.5}
    """

    def __init__(self, names: Sequence[str], name: str = "averages", **kwargs):
        super().__init__(name=name, **kwargs)
        self.names = list(names)
        self.totals = self.add_variable((len(names),), "zeros", name="totals")
        self.count = self.add_variable((), "zeros", name="count")

    def get_config(self) -> dict:
        return super().get_config() | {"names": self.names}

    def update_state(self, figures: Mapping[str, tf.Tensor]) -> None:
        """Takes in the figures of a step; an absent one counts as 0."""
        found = [figures.get(name, 0.0) for name in self.names]
        self.totals.assign_add(tf.stack(found))
        self.count.assign_add(1.0)

    def result(self) -> dict[str, tf.Tensor]:
        means = tf.math.divide_no_nan(self.totals.value, self.count.value)
        return dict(zip(self.names, tf.unstack(means), strict=True))
