"""What the exports to LiteRT and to ONNX share.

A converted model takes raw images of any size, as the SavedModel does, and
returns probabilities. It is compared with Keras before it is written.
"""

import contextlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.export.signatures import ServedModel
from tf_transfer.models import classifiers, copies
from tf_transfer.utils import messages

_TOLERANCE = 1e-4
_PACKAGES = {
    "tflite": ("ai_edge_litert",),
    "onnx": ("onnxruntime", "tf2onnx"),
}
_SIZES = ((1, 30, 40), (3, 128, 96))  # batch, height, width
Run = Callable[[np.ndarray], np.ndarray]
"""A converted model in its runtime, from images to probabilities."""


def require(extra: str) -> None:
    """Raises InputError if a package of an extra is not installed."""
    for name in _PACKAGES[extra]:
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"This format needs the package {name}; run "
                f"`pip install 'tf_transfer[{extra}]'`. Received: {extra}"
            )


def in_float32(model: keras.Model) -> keras.Model:
    """Returns the model, or a copy in float32 if it is in half precision.

    The runtimes do not support half precision.

    Raises:
        InputError: if the model cannot be copied in float32.
    """
    if not isinstance(model, keras.Model) or not copies.is_half(model):
        return model
    text = re.sub(r'(mixed_)?b?float16(?=")', "float32", model.to_json())
    classes = {
        type(each).__name__: type(each) for each in copies.layers_of(model)
    }
    try:
        with classifiers.precision("float32"):  # for models inside the model
            copy = keras.models.model_from_json(text, classes)
        copy.set_weights(model.get_weights())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(
            "A model in half precision must be one that Keras can copy in "
            f"float32. Received: {model.name!r}: {messages.summary(error)}"
        ) from error
    copies.copy_state(model, copy)
    copies.check_same(model, copy)
    return copy


@contextlib.contextmanager
def converting(runtime: str) -> Iterator[None]:
    """Hides a converter's warnings, and turns its errors into InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"The model cannot be converted for {runtime}. "
            f"Received: {messages.first_line(error)}"
        ) from error


def compare(run: Run, served: ServedModel) -> dict[str, float]:
    """Returns the largest difference from Keras, on noise of two sizes.

    Raises:
        InputError: if the difference is too large for a rounding error.
    """
    appearance = getattr(served.preprocessing, "appearance", None)
    maximum = appearance.maximum if appearance else 1.0
    if served.preprocessing is None:
        maximum = 255 / served.white
    rng, difference = np.random.default_rng(0), 0.0
    for batch, *sides in _SIZES:
        size = [batch, *sides, served.model_shape[-1]]
        shape = [a or b for a, b in zip(served.image_shape, size, strict=True)]
        images = (maximum * rng.random(shape)).astype(np.float32)
        expected = served.probabilities(images)["probabilities"].numpy()
        difference = max(
            difference, float(np.abs(run(images) - expected).max())
        )
    if not difference < _TOLERANCE:
        raise InputError(
            "The converted model must predict as Keras does, to "
            f"{_TOLERANCE}. Received: a difference of {difference:.2g}"
        )
    return {"largest_difference": difference}
