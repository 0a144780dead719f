"""Batched inference, on one device or many."""

import functools
import weakref
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError

_BATCH = 256
ROUNDING = 2e-2
"""By which a sum of probabilities in bfloat16 may differ from 1."""


def stream_outputs(
    model: keras.Model, dataset: tf.data.Dataset
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields a model's outputs batch by batch, in inference mode.

    Unlike `predict`, it holds only one batch in memory. Batches are split
    over the devices of the model's strategy, on all workers; the order of the
    rows does not change.

    Args:
        model: any Keras model with one output.
        dataset: batches of images, or of `(images, labels)`. Images may be
            nested, as the inputs of the model are.

    Yields:
        Outputs `[B, ...]` and labels `[B]`, or None without labels.

    Raises:
        InputError: if `dataset` is not a `tf.data.Dataset`, is infinite, or
            does not have batches of the model's input.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise InputError(
            "Images must come as a tf.data.Dataset of batches. "
            f"Received: {type(dataset).__name__}"
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            "The dataset must be finite; `take` as many batches as you need. "
            "Received: an infinite dataset"
        )
    scope = model.distribute_strategy
    check_shape(model, dataset.element_spec, exact=False)
    forward = _forward(model)
    if scope.num_replicas_in_sync == 1:
        for batch in dataset:
            images, *labels = batch if isinstance(batch, tuple) else (batch,)
            (outputs,) = forward((images,))
            yield outputs.numpy(), labels[0].numpy() if labels else None
        return
    numbered = dataset.map(_with_positions)
    for batch in scope.experimental_distribute_dataset(numbered):
        outputs, *rest = (part.numpy() for part in forward(batch))
        order = np.argsort(rest[-1])
        yield outputs[order], rest[0][order] if len(rest) > 1 else None


def check_shape(
    model: keras.Model, spec, name: str = "images", exact: bool = True
) -> None:
    """Raises InputError for a dataset without batches of a model's inputs.

    Unbuilt and subclassed models are not checked, as their inputs are not
    known, and no dicts, which go by name.

    Args:
        model: takes the images.
        spec: of an element of the dataset, which is a batch of images, or a
            tuple that begins with them.
        name: of the images, for the message.
        exact: whether a `Sequential` model takes only images of its own size.
            Keras also gives it others, which convolutions can take.
    """
    images = spec[0] if isinstance(spec, tuple) else spec
    inputs = getattr(model, "inputs", None) if model.built else None
    if not inputs or isinstance(images, dict):
        return
    shapes = [part.shape for part in tf.nest.flatten(images)]
    wanted = [tuple(part.shape) for part in inputs]
    free = not exact and isinstance(model, keras.Sequential)
    if len(shapes) != len(wanted) or not all(
        _fits(*pair, free) for pair in zip(shapes, wanted, strict=True)
    ):
        one = len(wanted) == 1
        found = [None if s.rank is None else tuple(s) for s in shapes]
        raise InputError(
            f"The {name} must be batches of the shape that the model takes, "
            f"{wanted[0] if one else wanted}. "
            f"Received: {', '.join(map(str, found))}"
        )


def _fits(shape: tf.TensorShape, wanted: tuple, free: bool) -> bool:
    """Whether Keras takes images of a shape, of any number."""
    wanted = (None, *wanted[1:])
    if free:
        wanted = (*[None] * (len(wanted) - 1), wanted[-1])
    fitting = [wanted, (*wanted, 1)]  # Keras adds or drops a last axis of 1
    if wanted[-1] == 1:
        fitting.append(wanted[:-1])
    return any(shape.is_compatible_with(each) for each in fitting)


def stream_features(
    encoder: keras.Model, dataset: tf.data.Dataset
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields an encoder's outputs as flat features, batch by batch.

    For the arguments, see `stream_outputs`.

    Yields:
        Features `[B, D]` float32, and labels `[B]` or None.

    Raises:
        InputError: if a feature is not finite.
    """
    for outputs, labels in stream_outputs(encoder, dataset):
        features = outputs.reshape(len(outputs), -1).astype(np.float32)
        if not np.isfinite(features).all():
            raise InputError(
                "The encoder's features must be finite. "
                f"Received: {features[~np.isfinite(features)][0]}"
            )
        yield features, labels


def as_batches(images, model: keras.Model) -> tf.data.Dataset:
    """Returns a dataset of batches of a model's inputs.

    Args:
        images: a dataset, a `PyDataset`, or an array; for a model of several
            inputs, a tuple, list or dict of arrays.
        model: the model that they are for.

    Raises:
        InputError: for a generator, or a `PyDataset` that is empty or endless.
    """
    if isinstance(images, tf.data.Dataset):
        spec = images.element_spec
        nested = isinstance(spec, tuple) and not all(
            isinstance(part, tf.TensorSpec) for part in spec[1:]
        )
        return images.map(lambda first, *rest: (first,)) if nested else images
    if isinstance(images, keras.utils.PyDataset):
        return _from_py_dataset(images)
    if isinstance(images, Iterator) or callable(images):
        raise InputError(
            "Images must come as arrays, a tf.data.Dataset or a PyDataset; a "
            "generator can be read only once. "
            f"Received: {type(images).__name__}"
        )
    # A tuple would be taken for images and labels.
    several = len(getattr(model, "inputs", None) or ()) > 1
    if several and isinstance(images, (tuple, list)):
        images = (tuple(images),)
    return tf.data.Dataset.from_tensor_slices(images).batch(_BATCH)


def _from_py_dataset(batches: keras.utils.PyDataset) -> tf.data.Dataset:
    """Returns the inputs of a `PyDataset`, without its labels."""
    count = batches.num_batches
    if not count:
        raise InputError(
            "A PyDataset of images must have an end and at least one batch. "
            f"Received: {count} batches"
        )

    def inputs(index: int):
        batch = batches[index]
        return batch[0] if isinstance(batch, tuple) else batch

    def as_tensors(batch):
        # A list would become one tensor.
        if isinstance(batch, list):
            batch = tuple(batch)
        return tf.nest.map_structure(tf.convert_to_tensor, batch)

    spec = tf.nest.map_structure(
        lambda part: tf.TensorSpec([None, *part.shape[1:]], part.dtype),
        as_tensors(inputs(0)),
    )
    return tf.data.Dataset.from_generator(
        lambda: ((as_tensors(inputs(i)),) for i in range(count)),
        output_signature=(spec,),
    )


def as_logits(outputs: np.ndarray, from_logits: bool) -> np.ndarray:
    """Returns a classifier's outputs `[B, C]` as logits.

    Raises:
        InputError: if the outputs are not finite, or do not look like what
            `from_logits` says.
    """
    if outputs.dtype.itemsize < 4:  # NumPy cannot mix bfloat16 with integers
        outputs = outputs.astype(np.float32)
    if not np.isfinite(outputs).all():
        raise InputError(
            "The model's outputs must be finite. "
            f"Received: {outputs[~np.isfinite(outputs)][0]}"
        )
    probabilities = are_probabilities(outputs)
    if from_logits == probabilities and outputs.shape[-1] > 1:
        kind = "probabilities" if probabilities else "logits"
        raise InputError(
            f"The model seems to return {kind}; set `from_logits` to match. "
            f"Received: {from_logits=}"
        )
    return outputs if from_logits else np.log(np.maximum(outputs, 1e-12))


def are_probabilities(outputs: np.ndarray) -> bool:
    """Returns whether rows `[B, C]` are not negative and sum to 1."""
    off = np.abs(outputs.sum(axis=-1) - 1).max()
    return bool(off < ROUNDING and outputs.min() >= 0)


def _with_positions(images, *labels):
    """Numbers the rows of a batch, as several workers return them mixed."""
    positions = tf.range(tf.shape(tf.nest.flatten(images)[0])[0])
    return images, *labels[:1], positions


_FORWARDS = weakref.WeakKeyDictionary()


def _forward(model: keras.Model) -> Callable:
    """Returns the model's traced inference step, traced once per model."""
    if model not in _FORWARDS:
        # TensorFlow counts the traces of each partial separately. Otherwise
        # it would warn that several models retrace the same function.
        step = functools.partial(_forward_step, weakref.ref(model))
        _FORWARDS[model] = tf.function(step, reduce_retracing=True)
    return _FORWARDS[model]


def _forward_step(model: weakref.ref, batch: tuple) -> Sequence[tf.Tensor]:
    scope = model().distribute_strategy

    def step(images, *rest):
        outputs = model()(images, training=False)
        return _propagate_nan(images, outputs), *rest

    parts = scope.run(step, batch)
    if scope.num_replicas_in_sync > 1:
        parts = [scope.gather(part, axis=0) for part in parts]
    return parts


def _propagate_nan(images, outputs: tf.Tensor) -> tf.Tensor:
    """Sets an output to NaN where its image holds NaN or infinity.

    A rectifier can turn these into zeros, which would pass for a prediction.
    """
    for part in tf.nest.flatten(images):
        if not (isinstance(part, tf.Tensor) and part.dtype.is_floating):
            continue
        axes = list(range(1, part.shape.rank))
        # Multiplied by zero first, as a sum of pixels may overflow in float16.
        zeros = tf.reduce_sum(0 * part, axes)  # NaN for such an image
        zeros = tf.reshape(zeros, [-1] + [1] * (outputs.shape.rank - 1))
        outputs += tf.cast(zeros, outputs.dtype)
    return outputs
