"""Copies of models, with the state that layers hold outside variables."""

import tempfile
import warnings
from collections.abc import Iterator

import keras
import numpy as np

from tf_transfer.errors import InputError

_ANY_SIDE = 64
_BRIGHTNESS = (1.0, 255.0)  # images in 0..1, and in 0..255
_TOLERANCE = 1e-3


def copy_of(model: keras.Model) -> keras.Model:
    """Returns a copy with its own variables, which computes the same.

    Raises:
        InputError: if the copy does not compute what the model does, because
            a layer holds something that its configuration does not.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy_state(model, copy)
    check_same(model, copy)
    return copy


def copy_state(model: keras.Model, other: keras.Model) -> None:
    """Copies statistics and tables that layers keep besides their weights.

    Such a layer is `Normalization` or `StringLookup`. Their statistics come
    from `adapt`, not from training. Weights of other layers do not change.
    """
    pairs = [list(_stateful(each)) for each in (model, other)]
    if [type(layer) for layer in pairs[0]] != [type(la) for la in pairs[1]]:
        return  # `check_same` tells whether it matters
    for layer, own in zip(*pairs, strict=True):
        store = {}
        layer.save_own_variables(store)
        if store:
            own.load_own_variables(store)
        if hasattr(layer, "save_assets") and hasattr(own, "load_assets"):
            with tempfile.TemporaryDirectory() as folder:
                layer.save_assets(folder)
                own.load_assets(folder)


def _stateful(model: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    for layer in _layers(model, set()):
        if hasattr(layer, "finalize_state") or hasattr(layer, "load_assets"):
            yield layer


def _layers(layer, seen: set[int]) -> Iterator[keras.layers.Layer]:
    """Yields a layer and all layers inside it, in order."""
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield layer
    parts = layer.layers if isinstance(layer, keras.Model) else []
    for value in [*parts, *vars(layer).values()]:
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, keras.layers.Layer):
                yield from _layers(part, seen)


def check_same(model: keras.Model, other: keras.Model) -> None:
    """Raises InputError unless two models compute the same.

    A model without a known input, or that cannot take noise, is not checked.
    """
    images = noise_for(model)
    if images is None:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # inputs as a list or a tensor
            expected, again, outputs = (
                np.asarray(
                    keras.ops.convert_to_numpy(each(images, training=False)),
                    np.float32,
                )
                for each in (model, model, other)
            )
    except (TypeError, ValueError):  # several outputs, or strings
        return
    if not np.array_equal(expected, again, equal_nan=True):
        return  # random also in inference
    finite = np.abs(expected[np.isfinite(expected)])
    tolerance = _TOLERANCE * max(1.0, float(finite.max(initial=0)))
    same = expected.shape == outputs.shape and np.allclose(
        outputs, expected, atol=tolerance, equal_nan=True
    )
    if not same:
        raise InputError(
            "The copied model must compute what the original does; a layer "
            "holds state that is neither in its weights nor in its "
            f"configuration. Received: {model.name!r}"
        )


def noise_for(model: keras.Model) -> np.ndarray | None:
    """Returns images of noise that a model takes, or None if unknown."""
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) != 1 or not inputs[0].shape[1:]:
        return None
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    if dtype in ("string", "bool"):
        return None
    shape = [side or _ANY_SIDE for side in inputs[0].shape[1:]]
    rng = np.random.default_rng(0)
    images = [limit * rng.random((2, *shape)) for limit in _BRIGHTNESS]
    dtype = "float32" if "float" in dtype else dtype
    return np.concatenate(images).astype(dtype)
