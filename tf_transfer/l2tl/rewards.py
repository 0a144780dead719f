"""The reward of L2TL's policy: any Keras metric on validation images."""

from collections.abc import Callable

import keras
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.training.distribution import total


@keras.saving.register_keras_serializable("tf_transfer")
class MeanPerClassAccuracy(keras.metrics.Metric):
    """The mean over the classes that occur of the accuracy on each.

    Args:
        num_classes: the number of classes C; predictions are `[B, C]`.
        name: of the metric.
    """

    def __init__(
        self, num_classes: int, name: str = "mean_per_class_accuracy", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.right = self.add_variable((num_classes,), "zeros", name="right")
        self.count = self.add_variable((num_classes,), "zeros", name="count")

    def get_config(self) -> dict:
        return super().get_config() | {"num_classes": self.num_classes}

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = keras.ops.cast(keras.ops.reshape(y_true, [-1]), "int32")
        one_hot = keras.ops.one_hot(labels, self.num_classes)
        if sample_weight is not None:
            one_hot = one_hot * keras.ops.reshape(sample_weight, [-1, 1])
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
    """Area under the ROC curve, one class against the rest, mean over them.

    Over the classes, that is, that occur beside others.

    Args:
        num_classes: the number of classes C; predictions are logits `[B, C]`.
        name: of the metric.
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
        # Keras counts a class that does not occur as an area of 0.
        occurs = self.true_positives[0] + self.false_negatives[0] > 0
        others = self.true_negatives[0] + self.false_positives[0] > 0
        judged = keras.ops.cast(occurs & others, "float32")
        return keras.ops.divide_no_nan(
            super().result() * self.num_classes, keras.ops.sum(judged)
        )


def reward_metric(
    identifier: str | keras.metrics.Metric,
    num_classes: int,
    example_losses: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> keras.metrics.Metric:
    """Returns the metric that rewards; larger is better.

    Args:
        identifier: `"accuracy"`, `"auc"`, `"mean_per_class_accuracy"`,
            `"negative_loss"`, or a Keras metric over class numbers and logits
            whose state adds up over batches.
        num_classes: target classes.
        example_losses: the target's loss, for `"negative_loss"`.
    """
    if isinstance(identifier, keras.metrics.Metric):
        return identifier
    known = {
        "accuracy": keras.metrics.SparseCategoricalAccuracy,
        "auc": lambda: SparseAUC(num_classes),
        "mean_per_class_accuracy": lambda: MeanPerClassAccuracy(num_classes),
        "negative_loss": lambda: keras.metrics.MeanMetricWrapper(
            lambda labels, logits: -example_losses(labels, logits)
        ),
    }
    if identifier not in known:
        raise InputError(
            f"`reward` must be a Keras metric or one of {', '.join(known)}. "
            f"Received: reward={identifier!r}"
        )
    return known[identifier]()


def evaluate(
    metric: keras.metrics.Metric, labels: tf.Tensor, logits: tf.Tensor
) -> tf.Tensor:
    """Returns the metric over the batches of all replicas, in a step.

    The metric's own state stays as it is: this may run between the batches of
    a training that reports the same metric.
    """
    state = [tf.zeros(v.shape, v.dtype) for v in metric.variables]
    state = metric.stateless_update_state(state, labels, logits)
    return tf.cast(
        metric.stateless_result([total(v) for v in state]), tf.float32
    )
