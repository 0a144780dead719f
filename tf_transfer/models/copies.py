"""Copies of models, with the state that layers hold outside variables."""

import tempfile
import warnings
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.utils import messages

ANY_SIDE = 64
"""The side of noise for a model of images of any size."""
_BRIGHTNESS = (1.0, 255.0)  # images in 0..1, and in 0..255
_TOLERANCE = 1e-3
_HALF_TOLERANCE = 0.1  # of half precision, which adds up over the layers
_HALF = ("float16", "bfloat16")


def copy_of(model: keras.Model) -> keras.Model:
    """Returns a copy with its own variables, which computes the same.

    Raises:
        InputError: if the model cannot be copied, or the copy does not
            compute what the model does, because a layer holds something that
            its configuration does not.
    """
    copy = _clone(model)
    copy.set_weights(model.get_weights())
    copy_state(model, copy)
    _copy_frozen(model, copy)
    check_same(model, copy)
    return copy


def fresh_copy_of(model: keras.Model) -> keras.Model:
    """Returns a copy with random weights, but the model's statistics.

    Given the model's weights, it computes what the model does.

    Raises:
        InputError: as `copy_of`.
    """
    copy = _clone(model)
    weights = copy.get_weights()
    copy.set_weights(model.get_weights())
    copy_state(model, copy)
    _copy_frozen(model, copy)
    check_same(model, copy)
    copy.set_weights(weights)
    copy_state(model, copy)  # their variables were overwritten
    return copy


def take_over(model: keras.Model, trained: keras.Model) -> None:
    """Copies weights and state of a trained model of the same layers.

    Raises:
        InputError: if the model then computes something else.
    """
    model.set_weights(trained.get_weights())
    copy_state(trained, model)
    check_same(trained, model)


def _clone(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers, with random weights."""
    # Inside a nested model, Keras' own way neither knows unregistered layers
    # nor layers that are used elsewhere too, and copies no Python lambda.
    layer_by_layer = {"clone_function": _clone_layer, "recursive": True}
    reasons = []
    for options in ({}, layer_by_layer):
        try:
            copy = keras.models.clone_model(model, **options)
            if not copy.built:  # a subclassed model
                copy.build_from_config(model.get_build_config())
        except (TypeError, ValueError, NotImplementedError) as error:
            reasons.append(messages.summary(error))
            continue
        shapes = [[w.shape for w in each.weights] for each in (model, copy)]
        if shapes[0] == shapes[1]:
            return copy
        reasons.append(f"weights of {shapes[0]} become {shapes[1]}")
    raise InputError(
        "The model must be one that `keras.models.clone_model` can copy. "
        f"Received: {model.name!r}: {reasons[0]}"
    )


def _clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    config = layer.get_config()
    if not isinstance(layer, keras.layers.Lambda):
        return layer.__class__.from_config(config)
    shape = config.get("output_shape")
    return layer.__class__(
        layer.function,
        layer.compute_output_shape if isinstance(shape, dict) else shape,
        layer.mask,
        layer.arguments,
        **keras.layers.Layer.get_config(layer),
    )


def copy_state(model: keras.Model, other: keras.Model) -> None:
    """Copies statistics and tables that layers keep besides their weights.

    Such a layer is `Normalization` or `StringLookup`. Their statistics come
    from `adapt`, not from training. Weights of Keras' other layers do not
    change. Nothing is copied between models of different such layers: whether
    that matters, `check_same` says.
    """
    pairs = [list(_stateful(each)) for each in (model, other)]
    if [type(layer) for layer in pairs[0]] != [type(la) for la in pairs[1]]:
        return
    for layer, own in zip(*pairs, strict=True):
        store = {}
        layer.save_own_variables(store)
        if store:
            own.load_own_variables(store)
        if hasattr(layer, "save_assets") and hasattr(own, "load_assets"):
            with tempfile.TemporaryDirectory() as folder:
                layer.save_assets(folder)
                own.load_assets(folder)


def _copy_frozen(model: keras.Model, other: keras.Model) -> None:
    """Copies what is frozen inside layers, which no configuration says."""
    parts = [[*layers_of(m)][1:] + m.weights for m in (model, other)]
    for part, own in zip(*parts, strict=False):
        if type(part) is type(own) and part.trainable != own.trainable:
            own.trainable = part.trainable


def _stateful(model: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    for layer in layers_of(model):
        load = type(layer).load_own_variables
        if (
            hasattr(layer, "finalize_state")
            or hasattr(layer, "load_assets")
            or not load.__module__.startswith("keras.")
        ):
            yield layer


def layers_of(
    layer: keras.layers.Layer, seen: set[int] | None = None
) -> Iterator[keras.layers.Layer]:
    """Yields a layer and all layers inside it, in order.

    Keras lists the layers of a model only. Those of a custom layer or of a
    wrapper are among its attributes.
    """
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield layer
    for value in vars(layer).values():
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, keras.layers.Layer):
                yield from layers_of(part, seen)


def is_half(model: keras.layers.Layer) -> bool:
    """Whether a layer of a model computes in half precision."""
    return any(layer.compute_dtype in _HALF for layer in layers_of(model))


def check_same(model: keras.Model, other: keras.Model) -> None:
    """Raises InputError unless two models compute the same.

    A model that cannot take noise is not checked, nor one whose outputs are
    random also in inference.
    """
    expected, outputs = (outputs_for_noise(each) for each in (model, other))
    if expected is None or outputs is None:
        return
    finite = np.abs(expected[np.isfinite(expected)])
    half = is_half(model) or is_half(other)
    tolerance = _HALF_TOLERANCE if half else _TOLERANCE
    tolerance *= max(1.0, float(finite.max(initial=0)))

    def same(values):
        return expected.shape == values.shape and np.allclose(
            values, expected, rtol=0, atol=tolerance, equal_nan=True
        )

    if same(outputs) or not same(outputs_for_noise(model)):
        return
    raise InputError(
        "The copied model must compute what the original does; a layer "
        "holds state that is neither in its weights nor in its "
        f"configuration. Received: {model.name!r}"
    )


def outputs_for_noise(model: keras.Model) -> np.ndarray | None:
    """Returns outputs for images of noise, float32, or None if unknown.

    Some models take no values over 1, such as one of an `Embedding`.
    """
    images = noise_for(model)
    if images is None:
        return None
    for values in (images, images[: len(images) // 2]):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # inputs as a list or a tensor
                outputs = model(values, training=False)
        except (TypeError, ValueError, tf.errors.OpError):
            continue
        if not keras.ops.is_tensor(outputs) or outputs.dtype == tf.string:
            return None
        return np.asarray(keras.ops.convert_to_numpy(outputs), np.float32)
    return None


def noise_for(model: keras.Model) -> np.ndarray | None:
    """Returns images of noise that a model takes, or None if unknown."""
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) != 1 or not inputs[0].shape[1:]:
        return None
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    if dtype in ("string", "bool"):
        return None
    shape = [side or ANY_SIDE for side in inputs[0].shape[1:]]
    rng = np.random.default_rng(0)
    images = [limit * rng.random((2, *shape)) for limit in _BRIGHTNESS]
    dtype = "float32" if "float" in dtype else dtype
    return np.concatenate(images).astype(dtype)
