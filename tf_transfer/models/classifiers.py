"""Classification heads, and classifiers made of them and encoders."""

import contextlib
import pathlib
import zipfile
from collections.abc import Iterator

import keras
import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.models import copies, endings
from tf_transfer.utils import checks, environment

_MAX_MOMENTUM = 0.9


def classifier(encoder: keras.Model, num_classes: int) -> keras.Model:
    """Returns `encoder` with a new linear head.

    Args:
        encoder: a model from images to features `[B, D]`.
        num_classes: outputs of the head.

    Returns:
        A model from images to logits `[B, num_classes]`.

    Raises:
        InputError: if the encoder is no layer of Keras 3.

    Example:

    >>> from tf_transfer.models.small_encoders import small_encoder
    >>> classifier(small_encoder((12, 12, 1)), num_classes=3).output_shape
    (None, 3)
    """
    if not isinstance(encoder, keras.Layer):
        raise InputError(f"A Keras 3 model is needed. Received: {encoder!r}")
    return keras.Sequential([encoder, head(num_classes)], name="classifier")


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Creates the layers inside the block with a dtype policy.

    Args:
        policy: its name, such as `mixed_bfloat16`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def follow_quickly(model: keras.Model) -> None:
    """Lowers the momentum of batch normalisation to .9 for short trainings.

    Most models have .99 or .999. After a few hundred steps, much of the
    initial moving averages is then still left, and the evaluated model may be
    no better than chance.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            follow_quickly(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, _MAX_MOMENTUM)


def head(num_classes: int, name: str = "head") -> keras.layers.Layer:
    """Returns a linear layer of logits, in float32 also in mixed precision."""
    return keras.layers.Dense(num_classes, dtype="float32", name=name)


def replace_head(
    model: keras.Model, num_classes: int, relation: np.ndarray | None = None
) -> keras.Model:
    """Returns a classifier with the model's encoder and a new head.

    The encoder is a copy: training the result does not change `model`.

    Args:
        model: a classifier made by `classifier`, or any single-input Keras
            model; everything up to its last layer is its encoder.
        num_classes: classes of the new head.
        relation: how much each new class looks like each old one,
            `[num_classes, old classes]`, whose rows sum to 1; see
            `class_relation`. The new head then mixes the classes of the old
            one, which must be a Dense layer. If None, the new head is random.

    Returns:
        A model from images to logits `[B, num_classes]`.

    Raises:
        InputError: if the model has no encoder, or ends in a layer without
            weights; if Keras cannot copy the encoder; if the shape of
            `relation` does not fit.

    Example:

    >>> from tf_transfer.models.small_encoders import small_encoder
    >>> source = classifier(small_encoder((12, 12, 1)), num_classes=62)
    >>> replace_head(source, num_classes=10).output_shape
    (None, 10)
    """
    checks.check_class_count(num_classes)
    body, old = endings.split(model)
    if not getattr(old, "weights", None):
        raise InputError(
            "The model's last layer must be its head, a layer with weights; "
            f"remove this one. Received: {type(old).__name__} {old.name!r}"
        )
    new = head(num_classes)
    # Built before the encoder is copied. Built after it, under the seed of
    # the old model, it would repeat the head that the encoder began with.
    new.build(with_shapes(body).output_shape)
    if relation is not None:
        new.set_weights(mixed_head(old, num_classes, relation))
    return keras.Sequential([copies.copy_of(body), new], name="classifier")


def fresh_head(num_features: int, num_classes: int) -> list[np.ndarray]:
    """Returns a random kernel `[D, C]` and a bias of zeros."""
    layer = head(num_classes)
    layer.build((None, num_features))
    return layer.get_weights()


def mixed_head(
    old: keras.layers.Layer, num_classes: int, relation: np.ndarray
) -> list[np.ndarray]:
    """Returns kernel and bias whose columns are mixtures of the old ones.

    Args, errors: as `replace_head`; `old` is the last layer of the model.
    """
    if not isinstance(old, keras.layers.Dense):
        raise InputError(
            "`relation` needs a model that ends in a Dense layer. "
            f"Received: {type(old).__name__} {old.name!r}"
        )
    relation = np.asarray(relation, np.float32)
    shape = (num_classes, old.units)
    if relation.shape != shape or not np.isfinite(relation).all():
        raise InputError(
            f"`relation` must be finite, of shape {shape}. "
            f"Received: shape {relation.shape}"
        )
    weights = old.get_weights()
    if old.lora_enabled or old.quantization_mode:
        weights = _effective_weights(old)
    kernel, *bias = (weight @ relation.T for weight in weights)
    return [kernel, *(bias or [np.zeros(num_classes, np.float32)])]


def _effective_weights(layer: keras.layers.Dense) -> list[np.ndarray]:
    """Returns the kernel and bias that a LoRA or int8 layer amounts to."""
    activation, layer.activation = layer.activation, None
    try:
        size = layer.input_spec.axes[-1]
        bias = np.array(layer(np.zeros((1, size), np.float32)))
        rows = np.array(layer(np.eye(size, dtype=np.float32)))
    finally:
        layer.activation = activation
    return [rows - bias, bias[0]]


def encoder_of(model: keras.Model) -> keras.Model:
    """Returns the part of a classifier below its last layer."""
    return endings.split(model)[0]


def head_of(model: keras.Model) -> keras.Operation:
    """Returns the layer of a classifier that makes its output."""
    return endings.split(model)[1]


def with_shapes(encoder: keras.Model) -> keras.Model:
    """Returns a built model that has an `output_shape`.

    A subclassed model has none, and is wrapped; the layers are shared.
    """
    if hasattr(encoder, "output_shape"):
        return encoder
    shape = encoder.get_build_config()["input_shape"]
    inputs = keras.Input(shape[1:])
    return keras.Sequential([inputs, encoder], name=encoder.name)


def input_shape_of(path: str) -> tuple[int | None, ...] | None:
    """Returns the shape of the images that a `.keras` model takes.

    It is None for a model that takes something else.

    Raises:
        InputError: if the file cannot be read.
    """
    shape = getattr(_load(path), "input_shape", None)
    images = isinstance(shape, tuple) and len(shape) == 4
    return shape[1:] if images else None


def _load(path: str) -> keras.Model:
    """Loads a `.keras` file without running code in it."""
    if not pathlib.Path(path).is_file():
        raise InputError(f"There is no such model file. Received: {path}")
    try:
        _check_size(path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise InputError(
            f"The model file cannot be loaded. Received: {path}"
        ) from error


def load_classifier(
    path: str, image_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Loads a `.keras` classifier and checks that it fits the source.

    Args:
        path: the file; no code in it is run. A softmax in its last layer is
            removed, because this package works on logits.
        image_shape: `(height, width, channels)` that it must accept.
        num_classes: the number of outputs that it must have.

    Raises:
        InputError: if the file cannot be read or the model does not fit.
    """
    model = _load(path)
    last = model.layers[-1] if model.layers else model
    if model.built and isinstance(last, keras.Model):
        body, last = endings.split(model)
        model = keras.Sequential([body, last], name=model.name)
    operations = getattr(model, "operations", model.layers)
    last = operations[-1] if operations else model
    linear, softmax = keras.activations.linear, keras.activations.softmax
    if (
        not (model.built and hasattr(model, "input_shape"))
        or not getattr(last, "weights", None)
        or getattr(last, "activation", linear) not in (linear, softmax)
    ):
        raise InputError(
            "The model must be functional or Sequential, built, and end in a "
            "layer with weights that returns logits or a softmax. "
            f"Received: {path}, ending in {last.name!r}"
        )
    if getattr(last, "activation", None) is softmax:
        last.activation = linear
    if num_classes > 1 and endings.returns_probabilities(model):
        raise InputError(
            "The model must return logits, or end in a layer whose activation "
            f"is softmax. Received: {path}, ending in {last.name!r}"
        )
    shape = tuple(model.input_shape[1:])
    fits = len(shape) == len(image_shape) and all(
        a in (None, b) for a, b in zip(shape, image_shape, strict=True)
    )
    if not fits or model.output_shape != (None, num_classes):
        raise InputError(
            f"The model must map {image_shape} to {num_classes} classes, for "
            "batches of any size. "
            f"Received: {path}, {model.input_shape} to {model.output_shape}"
        )
    return model


def _check_size(path: str) -> None:
    """Raises ValueError for a model that is unpacked to more than memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > environment.memory():
        raise ValueError(f"It has {size} bytes.")
