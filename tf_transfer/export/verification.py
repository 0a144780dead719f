"""Compares a written SavedModel with the model that it was written from."""

import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.export.signatures import ServedModel

_SIDES = (30, 40)
_TOLERANCE = 2e-2  # of probabilities; half precision differs that much


def check_saved(folder: pathlib.Path, served: ServedModel) -> None:
    """Raises InputError unless all signatures predict what the model does.

    A model or preprocessing that takes no images of noise is not checked, nor
    a model whose outputs are random also in inference.
    """
    for pixels in _pixels(served):
        floats = pixels.astype(np.float32)
        if served.preprocessing is None:
            floats /= served.white
        try:
            right = [served.expected(images) for images in (pixels, floats)]
            again = served.expected(pixels)
            features = served.expected_features(floats)
        except (InputError, tf.errors.OpError):
            continue
        if np.array_equal(again, right[0], equal_nan=True):
            _compare(folder, pixels, floats, right, features)
        return


def _compare(
    folder: pathlib.Path,
    pixels: np.ndarray,
    floats: np.ndarray,
    right: list[np.ndarray],
    features: np.ndarray | None,
) -> None:
    """Compares signatures with probabilities of both inputs, and features."""
    functions = tf.saved_model.load(str(folder)).signatures
    inputs = {
        "serving_default": (floats, right[1]),
        "serve_uint8": (pixels, right[0]),
    }
    if "serve_bytes" in functions and pixels.shape[-1] in (1, 3, 4):
        files = tf.stack([tf.io.encode_png(image) for image in pixels])
        inputs["serve_bytes"] = (files, right[0])
    if features is not None:
        inputs["features"] = (floats, features)
    for name, (values, expected) in inputs.items():
        outputs = functions[name](tf.constant(values))
        key = "features" if name == "features" else "probabilities"
        outputs = outputs[key].numpy()
        scale = np.nanmax(np.abs(expected), initial=1)  # of features
        difference = np.nanmax(np.abs(outputs - expected), initial=0) / scale
        # What becomes of a NaN inside a model depends on the processor.
        undefined = np.isnan(outputs) & ~np.isnan(expected)
        if undefined.any() or difference >= _TOLERANCE:
            raise InputError(
                f"The saved signature {name} must predict as Keras does. "
                f"Received: a difference of {difference:.2g}"
            )


def _pixels(served: ServedModel) -> Iterator[np.ndarray]:
    """Yields batches of two images of noise, uint8, until one is taken.

    Not every preprocessing takes images of any size, and not every model
    takes those of full brightness.
    """
    sides = [
        side or default
        for side, default in zip(served.model_shape[:2], _SIDES, strict=True)
    ]
    for shape in (_SIDES, sides) if served.preprocessing else (sides,):
        shape = (2, *shape, served.model_shape[-1])
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        yield pixels
        yield pixels % 2
