"""Checks of what `L2TL`, its `compile` and its `fit` are given."""

import contextlib
import re
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl.policy import FixedPolicy, WeightPolicy
from tf_transfer.models.inference import check_shape
from tf_transfer.training import optimizer_checks


def check_loss(loss: keras.losses.Loss, num_classes: int) -> None:
    """Checks that a loss is one of class numbers and logits.

    Args:
        loss: called on class numbers `[B]` and logits `[B, C]`.
        num_classes: C.

    Raises:
        InputError: if it takes probabilities or one-hot labels, sums over
            the batch, or ignores a class.
    """
    if getattr(loss, "ignore_class", None) is not None:
        raise InputError(
            "`loss` must count all images of a batch; leave images without a "
            "class out of the dataset. "
            f"Received: ignore_class={loss.ignore_class}"
        )
    takes_probabilities = getattr(loss, "from_logits", True) is False
    if not takes_probabilities and num_classes > 1:
        takes_probabilities = _ignores_negative(loss, num_classes)
    if takes_probabilities:
        raise InputError(
            "`loss` must take logits, as "
            "SparseCategoricalCrossentropy(from_logits=True) does, not "
            f"probabilities. Received: loss={loss.name!r}"
        )
    if getattr(loss, "reduction", None) == "sum":
        raise InputError(
            "`loss` must be a mean over the batch: L2TL weights the mean "
            "losses of source and target. Received: reduction='sum'"
        )


def _ignores_negative(loss: keras.losses.Loss, num_classes: int) -> bool:
    """Whether a loss clips negative outputs, as one of probabilities does."""
    logits = -np.arange(1, num_classes + 1, dtype=np.float32)
    rows = [logits, logits[::-1]]
    if num_classes == 2:
        rows.append(logits)  # else the labels [2] look like a row of two
    outputs = tf.constant(np.array(rows))
    labels = tf.zeros(len(outputs), tf.int32)
    try:
        values = np.array(loss.call(labels, outputs), float)
        shape = values.shape
    except (TypeError, ValueError, tf.errors.OpError):
        shape = None
    if shape != (len(outputs),):
        raise InputError(
            "`loss` must return a loss for every example, from class numbers "
            "[B] and logits [B, C], as SparseCategoricalCrossentropy does. "
            f"Received: loss={loss.name!r}"
        )
    return bool(np.isnan(values).all() or values[0] == values[1])


def check_settings(settings: dict) -> None:
    """Raises InputError for a setting of `compile` that has no effect."""
    if settings.get("loss_weights") is not None:
        raise InputError(
            "`loss_weights` has no effect on L2TL: the policy draws the "
            "weight of the source loss. "
            f"Received: loss_weights={settings['loss_weights']!r}"
        )


def check_fit(settings: dict) -> None:
    """Raises InputError for an argument of `fit` that `streams` excludes."""
    for name in ("class_weight", "sample_weight", "validation_split"):
        value = settings.get(name)
        if value is not None and (np.ndim(value) or value):
            raise InputError(
                f"`{name}` cannot be used with the dataset of `streams`: the "
                "policy weights the source classes, and the means of the "
                f"target are plain. Received: {name}={str(value)[:40]}"
            )


def check_dataset(
    dataset: object, steps_per_epoch: int | None, encoder: keras.Model
) -> None:
    """Checks length and images of a dataset of `streams`, before a step.

    Args:
        dataset: that `fit` is given.
        steps_per_epoch: of `fit`.
        encoder: of the images.

    Raises:
        InputError: if an epoch would never end, or the images of a stream have
            another shape.
    """
    if not isinstance(dataset, tf.data.Dataset):
        return
    endless = dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    if endless and steps_per_epoch is None:
        raise InputError(
            "`fit` needs `steps_per_epoch` for an endless dataset. "
            "Received: steps_per_epoch=None"
        )
    streams = dataset.element_spec
    for name, spec in streams.items() if isinstance(streams, dict) else ():
        check_shape(encoder, spec, f"{name} images")


@contextlib.contextmanager
def label_errors() -> Iterator[None]:
    """Turns TensorFlow's error of a label out of range into an InputError.

    On a GPU, TensorFlow finds only labels of the source.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        text = str(error)
        of_loss = re.search(
            r"label value of (-?\d+) .* valid range of (\[0, \d+\))", text
        )
        of_weights = re.search(r"Source labels must lie in \[0, \d+\)", text)
        if of_loss:
            label, valid = of_loss.groups()
            sentence = f"Labels must lie in {valid}. Received: label {label}"
        elif of_weights:
            sentence = f"{of_weights[0]}. Received: a label outside"
        else:
            raise
        raise InputError(sentence) from error


def check_policy_optimizer(
    optimizer: keras.optimizers.Optimizer, policy_warmup: int
) -> None:
    """Raises InputError for settings that would not do what they say."""
    for part in optimizer_checks.parts(optimizer):
        accumulated = part.gradient_accumulation_steps
        if accumulated and policy_warmup % accumulated:
            raise InputError(
                "`policy_warmup` must be a multiple of the "
                "`gradient_accumulation_steps` of `policy_optimizer`, or its "
                "first update would average in steps of the warm-up. "
                f"Received: {policy_warmup=}, {accumulated} steps"
            )
        if part.use_ema and not part.ema_overwrite_frequency:
            raise InputError(
                "`policy_optimizer` must have `ema_overwrite_frequency` if it "
                "has `use_ema`: at the end of `fit`, Keras uses the averages "
                f"of the model's optimizer alone. Received: {part.name!r}"
            )


def check_policy(policy: keras.layers.Layer, num_source_classes: int) -> None:
    """Raises InputError unless a policy is one, for the model's classes."""
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


def check_streams(data: dict, learns: bool) -> None:
    """Raises InputError unless the data of a step are those of `streams`."""
    if not isinstance(data, dict):
        raise InputError(
            "L2TL trains on the dataset that `streams` returns. "
            f"Received: {type(data).__name__}"
        )
    if learns and "validation" not in data:
        raise InputError(
            "A policy that learns needs a validation stream; see "
            f"`streams`. Received: {', '.join(data)}"
        )
