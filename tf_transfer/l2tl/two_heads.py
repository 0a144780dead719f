"""A shared encoder with a source and a target head."""

import inspect
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl import argument_checks, losses
from tf_transfer.l2tl.averages import Averages
from tf_transfer.l2tl.types import with_wide_labels
from tf_transfer.models import classifiers, copies
from tf_transfer.training.distribution import (
    DistributedTrainer,
    num_replicas,
    total,
)
from tf_transfer.utils import checks


class TwoHeadModel(DistributedTrainer, keras.Model):
    """Base of models that train source and target jointly on `streams`.

    In `call`, `evaluate` and `predict`, it is the target classifier.

    Args:
        encoder: a built Keras model from images to features `[B, D]`.
        num_source_classes: the number of source classes.
        num_target_classes: the number of target classes.
        relabel: train source images on the soft target labels that `relate`
            sets for their class, instead of on the class itself.

    Attributes:
        averaged_logs: names of the logs, besides `loss` and the compiled
            metrics, that `joint_logs` averages over an epoch.

    Raises:
        InputError: if the encoder is not built or does not return features,
            or there is no class.
    """

    averaged_logs = ("source_loss", "target_loss")

    def __init__(
        self,
        encoder: keras.Model,
        num_source_classes: int,
        num_target_classes: int,
        relabel: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(encoder, keras.Layer):
            raise InputError(
                "The encoder must be a model of Keras 3, not of tf_keras, so "
                f"that checkpoints hold it. Received: {type(encoder)}"
            )
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
                dtype="float32",
                trainable=False,
            )
        self.averages = Averages(self.averaged_logs)
        self._unused_logs = frozenset()

    def compile(self, optimizer="sgd", loss=None, metrics=None, **kwargs):
        """Sets optimizer and loss, by default the cross-entropy of logits.

        Raises:
            InputError: if `loss` is not a `keras.losses.Loss` over class
                numbers and logits, or a setting would be ignored.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._example_loss = keras.losses.get(loss)
        if not isinstance(self._example_loss, keras.losses.Loss):
            raise InputError(
                "`loss` must be a keras.losses.Loss that takes logits, such "
                "as SparseCategoricalCrossentropy(from_logits=True). "
                f"Received: {loss!r}"
            )
        argument_checks.check_loss(self._example_loss, self.num_target_classes)
        argument_checks.check_settings(kwargs)
        super().compile(
            optimizer=optimizer,
            loss=self._example_loss,
            metrics=metrics,
            **kwargs,
        )
        # Keras would silently reset an unbuilt optimizer after a restore.
        self.optimizer.build(self.model_variables())

    def model_variables(self) -> list[keras.Variable]:
        """Returns the trainable variables of encoder and heads."""
        parts = (self.encoder, self.source_head, self.target_head)
        return [v for part in parts for v in part.trainable_variables]

    def call(self, inputs, training=None):
        """Returns target logits of images, or of the target stream."""
        if isinstance(inputs, dict):
            inputs = inputs["target"][0]
        features = self.encoder(inputs, training=training)
        return self.target_head(features)

    def example_losses(self, labels, outputs) -> tf.Tensor:
        """Returns the compiled loss of every example, `[B]` float32."""
        return tf.cast(self._example_loss.call(labels, outputs), tf.float32)

    def relate(self, relation: np.ndarray) -> None:
        """Sets which target classes each source class resembles.

        The target head then learns from the source images too. Their loss is
        the cross-entropy to the row of their class, weighted by how certain
        the row is (`losses.related_loss`). A class whose row is zero trains
        the source head.

        Args:
            relation: `[C_s, C_t]`, rows of sum 1 or 0; see `class_relation`.

        Raises:
            InputError: without `relabel=True`, or if `relation` is invalid.
        """
        shape = (self.num_source_classes, self.num_target_classes)
        relation = np.asarray(relation, np.float32)
        sums = relation.sum(axis=-1) if relation.ndim else relation
        if (
            self.relation is None
            or relation.shape != shape
            or not (relation >= 0).all()
            or not (np.isclose(sums, 1, atol=1e-3) | (sums == 0)).all()
        ):
            raise InputError(
                "`relate` needs a model with `relabel=True`, and shares of "
                f"shape {shape} whose rows have sum 1 or 0. Received: "
                f"relabel={self.relation is not None}, shape {relation.shape}"
            )
        self.relation.assign(relation)

    def source_losses(self, labels, features) -> tf.Tensor:
        """Returns the loss of every source example, `[B]` float32."""
        own = self.example_losses(labels, self.source_head(features))
        if self.relation is None:
            return own
        relation = self.relation.value
        related = losses.related_loss(
            tf.gather(relation, labels), self.target_head(features)
        )
        has_row = tf.gather(tf.reduce_sum(relation, axis=1), labels) > 0
        return tf.where(has_row, related, own)

    def target_losses(self, labels, features) -> tf.Tensor:
        """Returns the loss of every target example, `[B]` float32."""
        return self.example_losses(labels, self.target_head(features))

    def joint_step(
        self, source, class_weights, scale, target
    ) -> tuple[tf.Tensor, tf.Tensor, Mapping[str, tf.Tensor]]:
        """Takes a step on `scale * weighted source loss + target loss`.

        Means are over the examples of all replicas. Regularisers are added
        once.

        Args:
            source: images and labels `[B]`.
            class_weights: of the source examples, `[B]`; only their ratios
                matter.
            scale: weight of the source loss.
            target: images and labels.

        Returns:
            The source features `[B, D]` of this step, the gradient of each
            source example's loss by them, and the logs.
        """
        variables = self.model_variables()
        with tf.GradientTape(persistent=True) as tape:
            # The source pass leaves the encoder's state alone, so that the
            # statistics of batch normalisation are those of the target.
            with keras.StatelessScope(collect_losses=True) as source_pass:
                features = self.encoder(source[0], training=True)
            apart = tf.stop_gradient(features)
            with tf.GradientTape() as by_features:
                by_features.watch(apart)
                source_losses = self.source_losses(source[1], apart)
                summed = tf.reduce_sum(source_losses)
            source_loss = losses.weighted_mean(
                source_losses,
                class_weights,
                total(tf.reduce_sum(class_weights)),
            )
            outputs = self(target[0], training=True)
            example_losses = self.example_losses(target[1], outputs)
            count = total(tf.cast(tf.shape(example_losses)[0], tf.float32))
            target_loss = tf.reduce_sum(example_losses) / count
            loss = scale * source_loss + target_loss
            penalties = [*self.losses, *source_pass.losses]
            if penalties:
                penalty = tf.add_n(penalties) / num_replicas()
                loss += tf.cast(penalty, tf.float32)
            scaled = self.optimizer.scale_loss(loss)
        # Those of single examples serve training and credit: through a head of
        # many classes, a second backward pass is dear. They are large enough
        # for float16 without the scale of the loss.
        of_examples = by_features.gradient(
            summed, apart, unconnected_gradients="zero"
        )
        of_examples = tf.cast(of_examples, tf.float32)
        factors = tape.gradient(scaled, source_losses)[:, None]
        of_batch = tf.cast(factors * of_examples, features.dtype)
        gradients = tape.gradient(
            [scaled, features],
            variables,
            output_gradients=[tf.ones_like(scaled), of_batch],
            unconnected_gradients="zero",
        )
        self.optimizer.apply(gradients, variables)
        parts = {
            "loss": loss,
            "source_loss": source_loss,
            "target_loss": target_loss,
        }
        logs = {name: total(value) for name, value in parts.items()}
        return (
            tf.cast(features, tf.float32),
            of_examples,
            logs | {"outputs": outputs},
        )

    def joint_logs(self, logs: dict, labels: tf.Tensor) -> dict:
        """Updates the metrics and returns the logs of the epoch so far."""
        outputs = logs.pop("outputs")
        self.averages.update_state(logs)
        self._unused_logs = frozenset(self.averaged_logs) - frozenset(logs)
        # The first is that of Keras; a layer may have another of this name.
        losses_so_far = next(m for m in self.metrics if m.name == "loss")
        losses_so_far.update_state(logs["loss"])
        # The metrics of layers are updated by the layers.
        results = self.compute_metrics(None, labels, outputs)
        return self._used(results)

    def _used(self, results: dict) -> dict:
        return {k: v for k, v in results.items() if k not in self._unused_logs}

    def fit(self, *args, **kwargs):
        """Trains as `keras.Model.fit` does, on a dataset of `streams`.

        Raises:
            InputError: if there are class or sample weights or a validation
                split; if the dataset is endless and there is no
                `steps_per_epoch`; if images have another shape than the
                encoder takes; on a CPU, if a label is out of range.
        """
        signature = inspect.signature(super().fit)
        bound = signature.bind(*args, **kwargs)
        given = bound.arguments
        argument_checks.check_fit(given)
        argument_checks.check_dataset(
            given.get("x"), given.get("steps_per_epoch"), self.encoder
        )
        with argument_checks.label_errors():
            return super().fit(*args, **kwargs)

    def evaluate(self, *args, **kwargs):
        # Also between two epochs of `fit`.
        in_training = self._unused_logs
        self._unused_logs = frozenset(self.averaged_logs)
        try:
            with argument_checks.label_errors():
                return super().evaluate(*args, **kwargs)
        finally:
            self._unused_logs = in_training

    def get_metrics_result(self):
        results = super().get_metrics_result()
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return results
        # Only if the names are those of the step's logs, Keras takes these
        # results, which are of all replicas, at the end of an epoch.
        return self._used(results)

    def test_step(self, data):
        logs = super().test_step(with_wide_labels(data))
        return {k: v for k, v in logs.items() if k not in self.averaged_logs}

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if isinstance(x, dict):  # streams, from which Keras builds the model
            y = x["target"][1]
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if isinstance(x, dict):
            y = x["target"][1]
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def warm_start(self, generalist: keras.Model) -> None:
        """Copies encoder and source head of a trained source classifier.

        Raises:
            InputError: if the shapes of the weights differ, or the encoder
                then computes something else.
        """
        parts = (
            (self.encoder, classifiers.encoder_of(generalist)),
            (self.source_head, classifiers.head_of(generalist)),
        )
        for own, trained in parts:
            shapes = [w.shape for w in trained.get_weights()]
            if [w.shape for w in own.get_weights()] != shapes:
                raise InputError(
                    "The generalist must have this model's encoder and "
                    f"{self.num_source_classes} classes. "
                    f"Received: {generalist.name!r} with weights of {shapes}"
                )
        self.source_head.set_weights(parts[1][1].get_weights())
        copies.take_over(*parts[0])

    def classifier(self) -> keras.Model:
        """Returns encoder and target head as one model, which outputs logits.

        It shares its layers with this model, and has no policy and no source
        head.
        """
        return keras.Sequential(
            [self.encoder, self.target_head], name="classifier"
        )
