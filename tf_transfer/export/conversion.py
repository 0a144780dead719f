"""A trained classifier for runtimes other than TensorFlow: LiteRT and ONNX.

The converted model takes raw images of any size, as the SavedModel does, and
returns their probabilities. Its own runtime checks it before it is kept.
"""

import contextlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.export.signatures import Served
from tf_transfer.models import classifiers
from tf_transfer.utils import messages

_TOLERANCE = 1e-4
_NEEDED = {
    "tflite": ("ai_edge_litert",),
    "onnx": ("onnxruntime", "tf2onnx"),
}
_CHECKED = ((1, 30, 40), (3, 128, 96))
Run = Callable[[np.ndarray], np.ndarray]


def _require(extra: str) -> None:
    """Raises InputError if a package of an extra is not installed."""
    for name in _NEEDED[extra]:
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"This format needs the package {name}; run "
                f"`pip install 'tf_transfer[{extra}]'`. Received: {extra}"
            )


def _float32(model: keras.Model) -> keras.Model:
    """Returns a model without half precision, which runtimes lack."""
    layers = getattr(model, "layers", [])
    if all(layer.compute_dtype == "float32" for layer in layers):
        return model
    text = re.sub(r'"(mixed_)?b?float16"', '"float32"', model.to_json())
    with classifiers.precision("float32"):  # of models in the model
        copy = keras.models.model_from_json(text)
    copy.set_weights(model.get_weights())
    return copy


@contextlib.contextmanager
def _converting(runtime: str) -> Iterator[None]:
    """Ignores the converters' own warnings; their errors are one sentence."""
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


def _compare(run: Run, served: Served) -> dict[str, float]:
    """Returns the largest difference to Keras, on noise of two sizes.

    Raises:
        InputError: if it is no rounding error.
    """
    look = getattr(served.preprocessing, "appearance", None)
    largest = look.maximum if look else 1.0
    rng, found = np.random.default_rng(0), 0.0
    for batch, *sides in _CHECKED:
        asked = [batch, *sides, served.model_shape[-1]]
        shape = [a or b for a, b in zip(served.image_shape, asked, strict=True)]
        images = (largest * rng.random(shape)).astype(np.float32)
        expected = served.probabilities(images)["probabilities"].numpy()
        found = max(found, float(np.abs(run(images) - expected).max()))
    if not found < _TOLERANCE:
        raise InputError(
            "The converted model must predict as Keras does, to "
            f"{_TOLERANCE}. Received: a difference of {found:.2g}"
        )
    return {"largest_difference": found}
