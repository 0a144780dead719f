"""The serving signatures of a classifier, as TensorFlow operations.

Neither Keras nor this package is needed to load and run the saved functions.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.data.framing import Frame
from tf_transfer.data.raw.image_files import MAX_PIXELS
from tf_transfer.errors import InputError
from tf_transfer.export import image_bytes as files
from tf_transfer.models import copies, endings
from tf_transfer.utils import messages

Preprocessing = Callable[[tf.Tensor], tf.Tensor]
"""From raw images `[B, H, W, channels]`, float32 or uint8, to a model's input.

If it returns uint8, 255 stands for 1. A `framing.Frame` is an example.
"""
_DECODED = (1, 3, 4)  # channels that `decode_image` can return
_AT_ONCE = 2**24  # pixel values to prepare as one batch, 64 MB as floats


class ServedModel:
    """A classifier from raw images to named classes.

    Args:
        model: a built classifier that returns logits or ends in a softmax.
        class_names: one name per class.
        preprocessing: turns raw images into the model's input; None if the
            images are as the model takes them.
        top_k: the largest number of classes that are named.
        max_pixels: an encoded image with more is refused before decoding.

    Attributes:
        class_names, preprocessing: the arguments.
        model_shape: `(height, width, channels)` of the model's input.
        image_shape: of a batch of raw images; a side of any size is None.
        white: what divides uint8 pixels for the model: 255, or 1 if it scales
            images of 0..255 itself.
    """

    def __init__(
        self,
        model: keras.Model,
        class_names: Sequence[str],
        preprocessing: Preprocessing | None = None,
        top_k: int = 5,
        max_pixels: int = MAX_PIXELS,
    ):
        self.class_names = list(class_names)
        self.preprocessing = preprocessing
        self.model_shape = tuple(model.input_shape[1:])
        self.image_shape = [None, *self.model_shape]
        if preprocessing is not None:
            self.image_shape = [None] * 4
        self._max_pixels = max_pixels
        self._top_k = min(top_k, len(self.class_names))
        self._model, self._softmax = model, endings.returns_probabilities(model)
        self.white = 1.0 if endings.takes_bytes(model) else 255.0
        softmax = self._softmax
        encoder = _encoder(model)

        # Functions of their own, so that a graph contains each only once.
        @tf.function(autograph=False)
        def encode(images):
            return tf.cast(encoder(images, training=False), tf.float32)

        @tf.function(autograph=False)
        def classify(images):
            outputs = tf.cast(model(images, training=False), tf.float32)
            return outputs if softmax else tf.nn.softmax(outputs)

        self._encoder = encoder
        self._encode = encode if encoder is not None else None
        self._classify = classify

    @functools.cached_property
    def signatures(self) -> dict[str, Any]:
        """The traced functions of a SavedModel, by name.

        Raises:
            InputError: if the preprocessing does not fit the model.
        """
        floats = tf.TensorSpec(self.image_shape, tf.float32, "images")
        pixels = tf.TensorSpec(self.image_shape, tf.uint8, "images")
        encoded = tf.TensorSpec([None], tf.string, "image_bytes")
        functions = {
            "serving_default": (self._serve, floats),
            "serve_uint8": (self._serve, pixels),
        }
        if self._encode is not None:
            functions["features"] = (self._features, floats)
        decodable = self.preprocessing or self.model_shape[-1] in _DECODED
        if decodable and None not in self.model_shape:
            functions["serve_bytes"] = (self._serve_bytes, encoded)
        return {
            name: _function(serve, spec).get_concrete_function()
            for name, (serve, spec) in functions.items()
        }

    @property
    def tables(self) -> list[Any]:
        """The look-up tables of the model's layers."""
        return [
            value
            for layer in copies.layers_of(self._model)
            for value in vars(layer).values()
            if isinstance(value, tf.saved_model.experimental.TrackableResource)
        ]

    @property
    def probabilities(self) -> Any:
        """From raw float32 `images` to `probabilities`, a `tf.function`."""
        spec = tf.TensorSpec(self.image_shape, tf.float32, "images")
        return _function(lambda x: self._predict(self._prepare(x)), spec)

    @property
    def prepared(self) -> Any:
        """From raw float32 `images` to `prepared`, the model's input."""
        spec = tf.TensorSpec(self.image_shape, tf.float32, "images")
        return _function(lambda x: {"prepared": self._prepare(x)}, spec)

    @property
    def from_prepared(self) -> Any:
        """From `images` as the model takes them to `probabilities`."""
        shape = [None, *self.model_shape]
        spec = tf.TensorSpec(shape, tf.float32, "images")
        return _function(self._predict, spec)

    def expected(self, images: np.ndarray) -> np.ndarray:
        """Returns what Keras predicts for raw images, without a trace."""
        images = self._prepare(tf.constant(images))
        outputs = tf.cast(self._model(images, training=False), tf.float32)
        return (outputs if self._softmax else tf.nn.softmax(outputs)).numpy()

    def expected_features(self, images: np.ndarray) -> np.ndarray | None:
        """Returns what Keras computes below the head; None without a head."""
        if self._encoder is None:
            return None
        images = self._prepare(tf.constant(images))
        outputs = self._encoder(images, training=False)
        return tf.cast(outputs, tf.float32).numpy()

    def _prepare(self, images: tf.Tensor) -> tf.Tensor:
        """Turns raw images into the model's input, float32.

        Raises:
            InputError: while tracing, if the preprocessing fails.
        """
        try:
            if self.preprocessing is not None:
                images = self.preprocessing(images)
            if images.dtype == tf.uint8:
                images = tf.cast(images, tf.float32) / self.white
            images.set_shape([None, *self.model_shape])
            return images
        except Exception as error:
            raise InputError(
                "`preprocessing` must turn images [B, H, W, channels], uint8 "
                f"or float32, into [B, *{self.model_shape}]. "
                f"Received: {messages.first_line(error)}"
            ) from error

    def _predict(self, images):
        return {"probabilities": self._classify(images)}

    def _serve(self, images):
        return self._name(self._prepare(self._check(images)))

    def _features(self, images):
        images = self._prepare(self._check(images))
        return {"features": self._encode(images)}

    def _serve_bytes(self, image_bytes):
        return self._name(self._decode(image_bytes))

    def _name(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns probabilities and the names of the most probable classes."""
        probabilities = self._classify(images)
        top, class_ids = tf.math.top_k(probabilities, self._top_k)
        return {
            "probabilities": probabilities,
            "top_probabilities": top,
            "class_ids": class_ids,
            "class_names": tf.gather(tf.constant(self.class_names), class_ids),
        }

    def _check(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the images; fails where nothing could be said of them.

        They must be finite, and have pixels and 1 to 4 channels.
        """
        if images.dtype.is_floating:
            images = tf.debugging.check_numerics(images, "images, not finite")
        if self.preprocessing is None:
            return images  # their shape is the model's
        shape = tf.shape(images)
        valid = tf.reduce_all(shape[1:] > 0) & (shape[3] <= 4)
        message = "images must be [B, H, W, 1 to 4 channels]. Received:"
        check = tf.debugging.Assert(valid, [message, shape], summarize=4)
        with tf.control_dependencies([check]):
            return tf.identity(images)

    def _decode(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Decodes images `[B]` of any sizes into the model's input.

        The error of an operation does not say which image it failed for. So a
        dataset skips the images that fail, and the first position missing
        from its results is that of the first bad image.
        """
        plain = self.preprocessing is None
        channels, maximum = self.model_shape[-1], 255.0
        if isinstance(self.preprocessing, Frame) or channels not in _DECODED:
            channels = 0  # a frame takes any number, and converts to grey
        if isinstance(self.preprocessing, Frame):
            maximum = max(maximum, self.preprocessing.appearance.maximum)

        def decode(position, content):
            small = files.pixels(content) <= self._max_pixels
            content = tf.where(small, content, "")
            image = files.decode(content, channels, maximum)
            if plain:
                image = tf.ensure_shape(image, self.model_shape)
            # Flat, so that images of different sizes can form a batch.
            return position, tf.shape(image), tf.reshape(image, [-1])

        count = tf.size(image_bytes, tf.int64)
        positions = tf.range(count + 1)
        dataset = tf.data.Dataset.from_tensor_slices(
            (positions[:-1], image_bytes)
        )
        kind = tf.float32 if maximum > 255 else tf.uint8
        nothing = tf.zeros([3], tf.int32), tf.zeros([0], kind)
        end = tf.data.Dataset.from_tensors((count, *nothing))
        # The end keeps it from being empty.
        dataset = dataset.map(decode).ignore_errors().concatenate(end)
        decoded, shapes, pixels = dataset.ragged_batch(
            count + 1
        ).get_single_element()
        same = decoded == positions[: tf.size(decoded)]
        bad = tf.argmin(tf.cast(same, tf.int32))
        size = f" of at most {self._max_pixels} pixels"
        if plain:
            size = f" of shape {self.model_shape}"
        text = f"image_bytes[{{}}] is not a readable JPEG or PNG{size}"
        check = tf.debugging.Assert(
            tf.size(decoded, tf.int64) > count, [tf.strings.format(text, bad)]
        )
        with tf.control_dependencies([check]):
            return self._prepare_each(shapes[:-1], pixels[:-1])

    def _prepare_each(
        self, shapes: tf.Tensor, pixels: tf.RaggedTensor
    ) -> tf.Tensor:
        """Turns decoded images of shapes `[B, 3]` into the model's input."""
        batch = tf.shape(shapes)[0]

        def at_once():
            shape = tf.concat([[batch], shapes[0]], axis=0)
            return self._prepare(tf.reshape(pixels.flat_values, shape))

        def prepare(position):
            image = tf.reshape(pixels[position], shapes[position])
            return self._prepare(image[None])[0]

        def one_by_one():
            spec = tf.TensorSpec(self.model_shape, tf.float32)
            return tf.map_fn(prepare, tf.range(batch), fn_output_signature=spec)

        same_shape = (batch > 0) & tf.reduce_all(shapes == shapes[:1])
        small = tf.size(pixels.flat_values) <= _AT_ONCE
        return tf.cond(same_shape & small, at_once, one_by_one)


def _encoder(model: keras.Model) -> keras.Model | None:
    """Returns the part below the head, or None if there is no single head.

    Operations without weights, such as a softmax, are no head.
    """
    try:
        encoder, last = endings.split(model)
        while encoder.output_shape == model.output_shape and not getattr(
            last, "weights", None
        ):
            encoder, last = endings.split(encoder)
    except (AttributeError, InputError):
        return None
    return encoder


def _function(serve: Callable, spec: tf.TensorSpec) -> Any:
    return tf.function(serve, input_signature=[spec], autograph=False)


def save(
    path: str | os.PathLike, functions: dict[str, Any], tables: Sequence = ()
) -> None:
    """Writes a SavedModel of traced functions and the variables they read.

    Each variable is written once; Keras' own archive writes it twice. The
    optimizer, the policy and other heads are not written, because no function
    reads them.

    Args:
        path: a folder.
        functions: concrete functions, by signature name.
        tables: the look-up tables that they read.

    Raises:
        InputError: if the functions read something else.
    """
    root = tf.Module()
    variables = {id(v): v for f in functions.values() for v in f.variables}
    root.used = list(variables.values())
    root.tables = list(tables)
    try:
        tf.saved_model.save(root, os.fspath(path), functions)
    except AssertionError as error:  # of TensorFlow, on untracked resources
        raise InputError(
            "The tables that a model reads must be attributes of its layers. "
            f"Received: {messages.first_line(error)}"
        ) from error
