"""How a classifier ends: its head, and what its outputs are."""

import warnings

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.models import copies, inference

_SQUASH = ("sigmoid", "softmax", "sparsemax")
_NORMALISES = (keras.layers.Normalization, keras.layers.BatchNormalization)
_MEAN = 10.0  # more than any mean of images in 0..1


def split(model: keras.Model) -> tuple[keras.Model, keras.Operation]:
    """Returns the part below the last operation, and that operation.

    The last operation is what makes the model's output, in the model inside
    if the output comes from there. Layers are shared with `model`.

    Raises:
        InputError: if the model has no known structure, or its output is not
            made by one operation on one tensor.
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"A Keras 3 model is needed. Received: {model!r}")
    layers = model.layers
    if len(layers) == 2 and _is_encoder_and_head(model):
        return layers[0], layers[1]
    inputs = getattr(model, "inputs", None) or ()  # a subclassed model has none
    if not model.built or len(inputs) != 1 or len(layers) < 2:
        raise InputError(
            "The model must be functional or Sequential, built, with one input "
            "and a head as its last layer. "
            f"Received: {model.name!r} with {len(layers)} layers"
        )
    last, below = _last_call(model)
    if isinstance(last, keras.Model):
        if len(last.layers) == 1:  # a Sequential of a head alone
            return keras.Model(inputs[0], below, name="encoder"), last.layers[0]
        inner, last = split(last)
        below = inner(below)
    return keras.Model(inputs[0], below, name="encoder"), last


def _is_encoder_and_head(model: keras.Model) -> bool:
    """Whether a model is an encoder below one layer, and nothing else."""
    encoder, head = model.layers
    operations = getattr(model, "operations", model.layers)
    return (
        isinstance(encoder, keras.Model)
        and not isinstance(head, keras.Model)
        and len(operations) == 2
    )


def _last_call(model: keras.Model) -> tuple[keras.Operation, object]:
    """Returns the operation that makes the output, and its input tensor."""
    inputs, outputs = model.inputs, model.outputs
    last = getattr(model, "operations", model.layers)[-1]
    below = None
    if len(outputs) == 1 and not isinstance(last, keras.Model):
        try:
            below = last.input if last.output is outputs[0] else None
        except (AttributeError, ValueError):  # called elsewhere too
            below = None
    if below is None and isinstance(model, keras.Sequential):
        below = inputs[0]
        for layer in model.layers[:-1]:
            below = layer(below)
    elif below is None:
        return _traced(model)
    if not keras.backend.is_keras_tensor(below):
        _refuse(model)
    return last, below


def _traced(model: keras.Model) -> tuple[keras.Operation, object]:
    """Returns the operation that makes the output, and its input tensor."""
    calls, again = _calls(model)
    output = again.outputs[0]
    makers = [call for call in calls if call[2] is output]
    operation, args, _ = makers[-1] if makers else (None, (), None)
    if len(again.outputs) != 1 or len(args) != 1:
        _refuse(model)
    if not keras.backend.is_keras_tensor(args[0]):
        _refuse(model)
    return operation, args[0]


def _calls(model: keras.Model) -> tuple[list[tuple], keras.Model]:
    """Calls the same layers again.

    Returns:
        The calls in order, `(operation, arguments, outputs)`, and the model
        of their outputs.
    """
    calls, inputs = [], keras.Input(tensor=model.inputs[0])

    def call(operation, *args, **kwargs):
        outputs = operation(*args, **kwargs)
        calls.append((operation, args, outputs))
        return outputs

    if isinstance(model, keras.Sequential):
        outputs = inputs
        for layer in model.layers:
            outputs = call(layer, outputs)
        return calls, keras.Model(inputs, outputs)
    try:
        again = keras.models.clone_model(
            model,
            input_tensors=inputs,
            clone_function=lambda layer: layer,
            call_function=call,
        )
    except (TypeError, ValueError):
        _refuse(model)
    return calls, again


def _refuse(model: keras.Model):
    raise InputError(
        "The model's output must be made by one layer from the output of one "
        f"layer. Received: {model.name!r}"
    )


def returns_probabilities(model: keras.Model) -> bool:
    """Whether a classifier returns probabilities, and not logits.

    It is told from the outputs for images of noise, so that it does not
    matter how a softmax is written.

    Raises:
        InputError: if the outputs are neither, such as those of a sigmoid.
    """
    try:
        last = split(model)[1]
    except InputError:
        last = None
    activation = getattr(last, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__)
    names = f"{name} {type(last).__name__}".lower()
    squashes = "log" not in names and any(word in names for word in _SQUASH)
    softmax = squashes and "softmax" in names
    if squashes and "sigmoid" in names:
        _refuse_sigmoid(model)
    outputs = copies.outputs_for_noise(model)
    if outputs is not None:
        outputs = outputs[np.isfinite(outputs).all(axis=-1)]
    if outputs is None or not len(outputs) or outputs.shape[-1] == 1:
        return softmax
    changes = np.ptp(outputs, axis=0).max()
    if not changes and isinstance(last, keras.layers.Dense) and not squashes:
        return False  # a head of zeros, whatever its bias
    if inference.are_probabilities(outputs):
        return True
    opaque = not isinstance(last, keras.layers.Dense)
    if activation is not None:
        opaque = not hasattr(keras.activations, name)
    # Shares of another sum than 1.
    shares = np.ptp(outputs.sum(axis=-1)) < inference.ROUNDING * changes
    squashed = shares or (opaque and outputs.max() <= 1)
    if squashes or (outputs.min() >= 0 and changes and squashed):
        _refuse_sigmoid(model)
    return False


def _refuse_sigmoid(model: keras.Model):
    raise InputError(
        "The model must return logits, or probabilities that sum to 1; a "
        f"sigmoid for each class returns neither. Received: {model.name!r}"
    )


def takes_bytes(model: keras.Model) -> bool:
    """Whether a model scales images of 0..255 itself, as by a `Rescaling`.

    It is told from what happens to images of one shade before the first
    trained layer: a change of shade by 1/255, or the subtraction of a mean
    of many, is that of such a model. So are the statistics of a
    normalisation.
    """
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) != 1:
        return False
    shape = [1, *(side or copies.ANY_SIDE for side in inputs[0].shape[1:])]
    shades = [np.full(shape, level, np.float32) for level in (0, 1, 255)]
    try:
        return _scaled(model, shades)
    except (TypeError, ValueError, tf.errors.OpError):
        return False


def _scaled(model: keras.Model, shades: list[np.ndarray]) -> bool:
    """Whether a model scales images of shades 0, 1 and 255 as those of bytes.

    It looks at the operations before the first trained layer.

    Raises:
        ValueError: as soon as it is clear that it does not.
    """
    start = model.inputs[0]
    values = {id(start): shades}  # of the tensors that are no trained layer's
    for operation, args, outputs in _calls(model)[0]:
        tensors = filter(
            keras.backend.is_keras_tensor, keras.tree.flatten(args)
        )
        inputs = [values[id(x)] for x in tensors if id(x) in values]
        if isinstance(operation, keras.Model) and operation.layers and inputs:
            if _scaled(operation, inputs[0]):
                return True
        elif not inputs or (
            getattr(operation, "weights", None)
            and not isinstance(operation, _NORMALISES)
        ):
            raise ValueError("This is a trained layer.")
        part = keras.Model(start, outputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = [np.asarray(part(x, training=False)) for x in shades]
        black, grey, white = (x.astype(np.float32) for x in results)
        if not np.allclose(white - black, 255 * (grey - black), 1e-2, 1e-2):
            raise ValueError("This is no scale.")
        scale = np.abs(white - black).max() / 255
        centred = scale < 1.5 and np.abs(black).max() > _MEAN
        if 0 < scale < 0.1 or centred:
            return True
        if scale > 1.5:
            raise ValueError("These are images of 0..1.")
        values[id(outputs)] = results
    return False
