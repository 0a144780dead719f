import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.models import inference
from tf_transfer.training import distribution


@pytest.mark.parametrize("name", ["none", "mirrored"])
def test_stream_outputs_keeps_order_for_any_last_batch(name):
    images = helpers.blobs(per_class=8, classes=4)
    with distribution.strategy(name).scope():
        model = helpers.tiny_classifier()
    expected = model(images.images / np.float32(255), training=False)
    batches = list(inference.stream_outputs(model, images.batches(9)))
    outputs = np.concatenate([rows for rows, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, images.labels)


def test_stream_outputs_without_labels():
    model = helpers.tiny_classifier()
    dataset = tf.data.Dataset.from_tensors(np.zeros((3, 8, 8, 1), np.float32))
    ((outputs, labels),) = inference.stream_outputs(model, dataset)
    assert outputs.shape == (3, 4)
    assert labels is None


def test_stream_outputs_refuses_an_infinite_dataset():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    endless = helpers.blobs().shuffled_batches(4, seed=0)
    with pytest.raises(InputError, match=r"must be finite.*an infinite"):
        next(inference.stream_outputs(model, endless))


def test_stream_outputs_refuses_arrays():
    images = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(InputError, match=r"tf.data.Dataset.*: ndarray"):
        next(inference.stream_outputs(helpers.tiny_classifier(), images))


class Batches(keras.utils.PyDataset):
    """Batches of what a function returns."""

    def __init__(self, make, count=3):
        super().__init__()
        self._make, self._count = make, count

    @property
    def num_batches(self):
        return self._count

    def __getitem__(self, index):
        return self._make(index)


def two_inputs(form=list):
    """Adds up the pixels of an image and the entries of a vector."""
    image = keras.Input((2, 2, 1), name="image")
    vector = keras.Input((3,), name="extra")
    sums = [keras.layers.Flatten()(image), vector]
    outputs = keras.ops.sum(keras.layers.Concatenate()(sums), 1, keepdims=True)
    if form is dict:
        return keras.Model({"image": image, "extra": vector}, outputs)
    return keras.Model([image, vector], outputs)


IMAGES = np.arange(24, dtype=np.float32).reshape(6, 2, 2, 1)
EXTRA = np.arange(18, dtype=np.float32).reshape(6, 3)
SUMS = IMAGES.sum((1, 2, 3)) + EXTRA.sum(1)


def streamed(model, images):
    batches = inference.as_batches(images, model)
    rows = [rows for rows, _ in inference.stream_outputs(model, batches)]
    return np.concatenate(rows)[:, 0]


@pytest.mark.parametrize(
    "images",
    [
        (IMAGES, EXTRA),
        [IMAGES, EXTRA],
        tf.data.Dataset.from_tensor_slices(((IMAGES, EXTRA), EXTRA)).batch(4),
        tf.data.Dataset.from_tensor_slices(
            ((IMAGES, EXTRA), {"label": EXTRA})
        ).batch(4),
        Batches(lambda i: ((IMAGES[2 * i :][:2], EXTRA[2 * i :][:2]), i)),
        Batches(lambda i: ([IMAGES[2 * i :][:2], EXTRA[2 * i :][:2]],)),
    ],
)
def test_models_of_two_inputs(images):
    np.testing.assert_allclose(streamed(two_inputs(), images), SUMS)


def test_models_of_a_dict_of_inputs():
    named = {"image": IMAGES, "extra": EXTRA}
    model = two_inputs(dict)
    dataset = tf.data.Dataset.from_tensor_slices(named).batch(4)
    for images in (named, dataset, Batches(lambda i: named, 1)):
        np.testing.assert_allclose(streamed(model, images), SUMS)


def test_any_input_that_is_not_finite_makes_the_output_nan():
    extra = EXTRA.copy()
    extra[2, 1] = np.inf
    rows = streamed(two_inputs(), (IMAGES, extra))
    np.testing.assert_array_equal(np.isnan(rows), np.arange(6) == 2)


def test_a_py_dataset_of_images_and_what_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    one = Batches(lambda i: EXTRA[2 * i :][:2])
    for _ in range(2):  # it can be read again
        np.testing.assert_array_equal(streamed(model, one), EXTRA[:, 0])
    for bad, message in (
        ((EXTRA for _ in range(2)), "Received: generator"),
        (lambda: EXTRA, "Received: function"),
        (Batches(None, count=0), "at least one batch. Received: 0"),
        (Batches(None, count=None), "must have an end.*Received: None"),
    ):
        with pytest.raises(InputError, match=message):
            inference.as_batches(bad, model)


def test_features_are_flat_and_finite():
    encoder = keras.Sequential(
        [keras.Input((2, 3)), keras.layers.Identity(dtype="float32")]
    )
    values = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    data = tf.data.Dataset.from_tensor_slices((values, [4, 7])).batch(2)
    ((features, labels),) = inference.stream_features(encoder, data)
    np.testing.assert_array_equal(features, values.reshape(2, 6))
    np.testing.assert_array_equal(labels, [4, 7])
    wrong = data.map(lambda images, labels: (images * np.inf, labels))
    with pytest.raises(InputError, match="features must be finite"):
        list(inference.stream_features(encoder, wrong))


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((None, 8, 8, 1), True),
        ((5, 8, 8, 1), True),
        ((None, 8, 8), True),  # Keras adds an axis
        ((None, 8, 8, 1, 1), True),  # and drops one
        ((None, None, None, None), True),
        ((8, 8, 1), False),  # no batches
        ((None, 4, 8, 1), False),
        ((None, 8, 8, 3), False),
    ],
)
def test_images_are_batches_of_the_models_input(shape, fits):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, outputs)
    spec = tf.TensorSpec(shape)
    if fits:
        inference.check_shape(model, spec)
        return
    with pytest.raises(InputError, match=r"images must be batches .*Received"):
        inference.check_shape(model, spec)


def test_convolutions_of_a_sequential_model_take_other_sizes():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()]
    )
    larger = tf.data.Dataset.from_tensors(np.ones((2, 9, 9, 3), np.float32))
    ((outputs, _),) = inference.stream_outputs(model, larger)
    np.testing.assert_array_equal(outputs, 1)
    with pytest.raises(InputError, match="must be batches"):
        inference.check_shape(model, larger.element_spec)


def test_a_batch_of_another_number_than_the_models_is_taken():
    model = keras.Sequential(
        [keras.Input((6,), batch_size=8), keras.layers.Identity()]
    )
    for width, fits in ((6, True), (7, False)):
        spec = tf.TensorSpec((3, width))
        with contextlib.nullcontext() if fits else pytest.raises(InputError):
            inference.check_shape(model, spec)
