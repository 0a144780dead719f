"""Encoders by name, with random or trained weights."""

import contextlib
import pathlib
import sys

import keras

from tf_transfer.errors import InputError
from tf_transfer.models.small_encoders import small_encoder
from tf_transfer.utils import messages

HUB = "keras_hub:"
"""The prefix of the names of keras-hub presets."""

# Some keras.applications models rescale images of 0..255 themselves. The
# trained weights of others expect standardised images, or blue as the first
# channel. All the rest take -1..1.
_RESCALE_INSIDE = ("EfficientNet", "MobileNetV3", "ConvNeXt")
_STANDARDISED = ("DenseNet",)
_BLUE_FIRST = ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19")
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_BLUE_FIRST_MEAN = (103.939, 116.779, 123.68)


def encoder(
    name: str,
    image_shape: tuple[int, int, int],
    width: int = 8,
    weights: str = "",
    form: str = "flat",
) -> keras.Model:
    """Returns an encoder by name.

    Args:
        name: `"small"`; the name of a `keras.applications` model such as
            `"MobileNetV3Small"` (three channels, at least 32 pixels); or
            `"keras_hub:"` and a preset of keras-hub: its name, or a folder
            that `save_to_preset` wrote.
        image_shape: `(height, width, channels)` of images in 0..1.
        width: filters of the small encoder's first convolution.
        weights: `""` for random ones; `"imagenet"` for those that
            keras.applications downloads; `"preset"` for those of the preset;
            or a file that `save_weights` wrote, of the model below the
            pooling.
        form: of the small encoder, `"flat"` or `"pooled"`.

    Returns:
        A model from images `[B, height, width, channels]` to features
        `[B, D]`. It scales the images to the range that the weights expect.

    Raises:
        InputError: if name, shape and weights do not fit together, or the
            weights cannot be loaded.

    Example:

    >>> encoder("small", (12, 12, 1), width=4).output_shape
    (None, 128)
    >>> encoder("MobileNetV2", (32, 32, 3)).output_shape
    (None, 1280)
    """
    if name.startswith(HUB):
        return _from_hub(name, image_shape, weights)
    if name == "small":
        body = small_encoder(image_shape, width, form)
        _check_weights("small", weights, None)
        _load(body, weights)
        return body
    return _from_applications(name, image_shape, weights)


def _from_applications(
    name: str, image_shape: tuple[int, int, int], weights: str
) -> keras.Model:
    build = getattr(keras.applications, name, None)
    if build is None or not name[:1].isupper():
        raise InputError(
            f"Unknown encoder; choose small, {HUB}PRESET or the name of a "
            f"keras.applications model. Received: {name!r}"
        )
    if image_shape[-1] != 3 or min(image_shape[:2]) < 32:
        raise InputError(
            f"{name} needs images of at least 32x32 with 3 channels. "
            f"Received: {image_shape}"
        )
    _check_weights(name, weights, "imagenet")
    try:
        # Keras prints download messages to standard output.
        with contextlib.redirect_stdout(sys.stderr):
            body = build(
                include_top=False,
                weights=weights if weights == "imagenet" else None,
                input_shape=image_shape,
                pooling="avg",
            )
    except ValueError as error:
        raise InputError(
            f"{name} cannot be built for such images. Received: {image_shape}"
        ) from error
    except Exception as error:  # Keras raises no more specific type
        if weights != "imagenet":
            raise
        raise InputError(
            f"The ImageNet weights of {name} cannot be downloaded; give a "
            f"weights file instead. Received: {messages.summary(error)}"
        ) from error
    if weights != "imagenet":
        _load(body, weights)
    if name.startswith(_RESCALE_INSIDE):
        return _joined(image_shape, 255.0, 0.0, body)
    if weights and name.startswith(_STANDARDISED):
        scale = [1 / d for d in _DEVIATION]
        offset = [-m / d for m, d in zip(_MEAN, _DEVIATION, strict=True)]
        return _joined(image_shape, scale, offset, body)
    if weights and name in _BLUE_FIRST:
        offset = [-m for m in reversed(_BLUE_FIRST_MEAN)]
        return _joined(image_shape, 255.0, offset, body, order=[2, 1, 0])
    return _joined(image_shape, 2.0, -1.0, body)


def _from_hub(
    name: str, image_shape: tuple[int, int, int], weights: str
) -> keras.Model:
    try:
        import keras_hub
    except ImportError as error:
        raise InputError(
            "This encoder needs keras-hub: pip install 'tf_transfer[hub]'. "
            f"Received: {name!r}"
        ) from error
    preset = name.removeprefix(HUB)
    _check_weights(name, weights, "preset")
    try:
        body = keras_hub.models.Backbone.from_preset(
            preset, load_weights=weights == "preset", image_shape=image_shape
        )
    except Exception as error:  # of many types, from several downloaders
        raise InputError(
            f"The keras-hub preset {preset!r} cannot be loaded for images of "
            f"{image_shape}. Received: {messages.summary(error)}"
        ) from error
    if weights != "preset":
        _load(body, weights)
    scale, offset = 1.0, 0.0
    # Not every preset says which range its weights expect.
    with contextlib.suppress(FileNotFoundError, ValueError):
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
        scale = _times(255, 1.0 if converter.scale is None else converter.scale)
        offset = 0.0 if converter.offset is None else converter.offset
    return _joined(image_shape, scale, offset, body)


def _times(factor: float, scale: float | list[float]) -> float | list[float]:
    if isinstance(scale, list | tuple):
        return [factor * each for each in scale]
    return factor * scale


def _joined(
    image_shape: tuple[int, int, int],
    scale: float | list[float],
    offset: float | list[float],
    body: keras.Model,
    order: list[int] | None = None,
) -> keras.Model:
    """Returns a model from images in 0..1 to the body's pooled outputs."""
    inputs = keras.Input(image_shape)
    images = keras.layers.Rescaling(scale, offset)(inputs)
    if order:
        images = keras.ops.take(images, order, axis=-1)
    features = body(images)
    rank = len(getattr(features, "shape", ()))
    if rank == 4:
        features = keras.layers.GlobalAveragePooling2D()(features)
    elif rank == 3:
        features = keras.layers.GlobalAveragePooling1D()(features)
    elif rank != 2:
        raise InputError(
            "An encoder must have one output of features. "
            f"Received: {body.name!r}"
        )
    return keras.Model(inputs, features, name="encoder")


def _check_weights(name: str, weights: str, trained: str | None) -> None:
    """Raises InputError unless `weights` is "", `trained` or a file."""
    if weights in ("", trained) or pathlib.Path(weights).is_file():
        return
    choices = [f'"{trained}"'] if trained else []
    choices = " or ".join(['""', *choices, "a weights file"])
    raise InputError(
        f"The weights of {name} must be {choices}. Received: {weights!r}"
    )


def _load(body: keras.Model, path: str) -> None:
    """Loads a weights file, unless the path is empty."""
    if not path:
        return
    try:
        body.load_weights(path)
    except Exception as error:  # of many types, by the kind of file
        raise InputError(
            f"The weights file does not fit {body.name}. Received: {path}"
        ) from error
