"""Compares a written SavedModel with the model that it was written from."""

import pathlib

import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.export.signatures import ServedModel

_SIDES = (30, 40)
_TOLERANCE = 2e-2  # of probabilities; half precision differs that much


def check_saved(folder: pathlib.Path, served: ServedModel) -> None:
    """Raises InputError unless all signatures predict what the model does.

    A preprocessing that does not take images of 30x40 is not checked.
    """
    pixels = _pixels(served)
    try:
        expected = served.expected(pixels)
        floats = pixels.astype(np.float32)
        if served.preprocessing is None:
            floats /= served.white
        from_floats = served.expected(floats)
    except (InputError, tf.errors.InvalidArgumentError):
        return
    functions = tf.saved_model.load(str(folder)).signatures
    inputs = {
        "serving_default": (floats, from_floats),
        "serve_uint8": (pixels, expected),
    }
    if "serve_bytes" in functions and pixels.shape[-1] in (1, 3, 4):
        files = tf.stack([tf.io.encode_png(image) for image in pixels])
        inputs["serve_bytes"] = (files, expected)
    for name, (values, right) in inputs.items():
        outputs = functions[name](tf.constant(values))
        outputs = outputs["probabilities"].numpy()
        difference = np.nanmax(np.abs(outputs - right), initial=0)
        same = np.isnan(outputs) == np.isnan(right)
        if not same.all() or difference >= _TOLERANCE:
            raise InputError(
                f"The saved signature {name} must predict as Keras does. "
                f"Received: a difference of {difference:.2g}"
            )


def _pixels(served: ServedModel) -> np.ndarray:
    """Returns two images of noise, uint8."""
    sides = served.model_shape[:2]
    if served.preprocessing is not None:
        sides = _SIDES
    sides = [
        side or default for side, default in zip(sides, _SIDES, strict=True)
    ]
    shape = (2, *sides, served.model_shape[-1])
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, shape).astype(np.uint8)
