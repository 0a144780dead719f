"""The reward of L2TL's policy: any Keras metric on validation images."""

from collections.abc import Callable

import keras
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.training.distribution import total


@keras.saving.register_keras_serializable("tf_transfer")
class MeanPerClassAccuracy(keras.metrics.Metric):
    """Accuracy of each class that occurs, averaged over these classes.

    Args:
        num_classes: the number of classes C; predictions are `[B, C]`.
        name: name of the metric.
    """

    def __init__(
        self, num_classes: int, name: str = "mean_per_class_accuracy", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        # Else Keras takes its default float, and bfloat16 counts up to 256.
        self.right, self.count = (
            self.add_variable((num_classes,), "zeros", "float32", name=name)
            for name in ("right", "count")
        )

    def get_config(self) -> dict:
        return super().get_config() | {"num_classes": self.num_classes}

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = keras.ops.cast(keras.ops.reshape(y_true, [-1]), "int32")
        one_hot = keras.ops.one_hot(labels, self.num_classes, dtype="float32")
        if sample_weight is not None:
            weights = keras.ops.reshape(sample_weight, [-1, 1])
            one_hot = one_hot * keras.ops.cast(weights, "float32")
        right = keras.ops.cast(
            keras.ops.argmax(y_pred, axis=-1) == labels, "float32"
        )
        self.count.assign_add(keras.ops.sum(one_hot, axis=0))
        self.right.assign_add(keras.ops.sum(one_hot * right[:, None], axis=0))

    def result(self):
        occurs = keras.ops.cast(self.count > 0, "float32")
        accuracy = keras.ops.divide_no_nan(self.right, self.count)
        return keras.ops.divide_no_nan(
            keras.ops.sum(accuracy), keras.ops.sum(occurs)
        )


@keras.saving.register_keras_serializable("tf_transfer")
class SparseAUC(keras.metrics.AUC):
    """Area under the ROC curve of each class against the rest, averaged.

    The mean is over the classes that occur together with others.

    Args:
        num_classes: the number of classes C; predictions are logits `[B, C]`.
        name: name of the metric.
    """

    def __init__(self, num_classes: int, name: str = "auc", **kwargs):
        super().__init__(
            name=name, multi_label=True, num_labels=num_classes, dtype="float32"
        )
        self.num_classes = num_classes

    def get_config(self) -> dict:
        return {"name": self.name, "num_classes": self.num_classes}

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = keras.ops.cast(keras.ops.reshape(y_true, [-1]), "int32")
        one_hot = keras.ops.one_hot(labels, self.num_classes)
        probabilities = keras.ops.softmax(y_pred)
        super().update_state(one_hot, probabilities, sample_weight)

    def result(self):
        # Keras counts an undefined area as 0: of a class without images, and
        # of one without other classes to compare to.
        occurs = self.true_positives[0] + self.false_negatives[0] > 0
        others_occur = self.true_negatives[0] + self.false_positives[0] > 0
        defined = keras.ops.cast(occurs & others_occur, "float32")
        return keras.ops.divide_no_nan(
            super().result() * self.num_classes, keras.ops.sum(defined)
        )


def reward_metric(
    identifier: str | keras.metrics.Metric,
    num_classes: int,
    example_losses: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> keras.metrics.Metric:
    """Returns the metric of a reward; larger is better.

    Args:
        identifier: `"accuracy"`, `"auc"`, `"mean_per_class_accuracy"`,
            `"negative_loss"`, or a Keras metric over class numbers and logits
            whose variables add up over batches.
        num_classes: the number of target classes.
        example_losses: the target's loss of every example, for
            `"negative_loss"`.

    Raises:
        InputError: for an unknown name.
    """
    if isinstance(identifier, keras.metrics.Metric):
        return identifier
    metrics = {
        "accuracy": keras.metrics.SparseCategoricalAccuracy,
        "auc": lambda: SparseAUC(num_classes),
        "mean_per_class_accuracy": lambda: MeanPerClassAccuracy(num_classes),
        "negative_loss": lambda: keras.metrics.MeanMetricWrapper(
            lambda labels, logits: -example_losses(labels, logits)
        ),
    }
    if identifier not in metrics:
        raise InputError(
            f"`reward` must be a Keras metric or one of {', '.join(metrics)}. "
            f"Received: reward={identifier!r}"
        )
    return metrics[identifier]()


class Reward:
    """The reward of a training step: a metric of the validation images.

    This is a plain object, not a Keras metric: Keras would report, reset and
    save a metric that is an attribute of a model among the model's metrics.

    Args:
        identifier: a name or a Keras metric, as in `reward_metric`.

    Attributes:
        metric: the Keras metric; None until `build`.

    Example:

    >>> reward = Reward("accuracy")
    >>> reward.build(2, keras.losses.sparse_categorical_crossentropy)
    >>> float(reward.evaluate(tf.constant([0, 1]), tf.constant([[1., 0.]] * 2)))
    0.5
    """

    def __init__(self, identifier: str | keras.metrics.Metric):
        self.identifier = identifier
        self.metric: keras.metrics.Metric | None = None

    def build(
        self,
        num_classes: int,
        example_losses: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    ) -> None:
        """Creates the metric; for the arguments see `reward_metric`.

        Raises:
            InputError: for an unknown name, or a metric that creates its
                variables only when it is used.
        """
        metric = reward_metric(self.identifier, num_classes, example_losses)
        if not metric.variables:
            raise InputError(
                "The reward metric must have its variables from the start. "
                f"Received: {metric.name!r} without any"
            )
        self.metric = metric

    def evaluate(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns the metric over the batches of all replicas of a step.

        The metric's own variables stay as they are, so that the training may
        report the same metric.

        Args:
            labels: class numbers, `[B]` integers.
            logits: `[B, C]`.
        """
        metric = self.metric
        values = [tf.zeros(v.shape, v.dtype) for v in metric.variables]
        values = metric.stateless_update_state(values, labels, logits)
        result = metric.stateless_result([total(value) for value in values])
        return tf.cast(result, tf.float32)

    def serialize(self) -> str | dict:
        """Returns the name, or the serialized metric."""
        if isinstance(self.identifier, str):
            return self.identifier
        return keras.saving.serialize_keras_object(self.identifier)
