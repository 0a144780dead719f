"""Any input either works or raises one InputError that explains why."""

import dataclasses
import io

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tf_transfer as tt
from tests import helpers
from tf_transfer.commands import arguments
from tf_transfer.commands.preparation import inputs
from tf_transfer.config import Experiment
from tf_transfer.data import framing, image_data, loading
from tf_transfer.data.raw.image_files import EncodedImages, RawImages
from tf_transfer.errors import InputError
from tf_transfer.models import classifiers

pytestmark = pytest.mark.slow


def cases(count):
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def tries(function, *arguments, **named):
    """Returns a function's result, or None if it raises an InputError."""
    try:
        return function(*arguments, **named)
    except InputError as error:
        sentence = str(error)
        assert "Received: " in sentence
        assert "Traceback" not in sentence
        return None


def fields(settings, prefix=""):
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


FIELDS = sorted(fields(Experiment()))
VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["", "none", "mean", "True", "()", "(1,)", "(-1.0,)"]),
    st.sampled_from(["('l2tl',)", "('x',)", "nan", "inf", "1e400", "[]"]),
    st.sampled_from(["related", "fresh", "datl", "False"]),
    st.text(max_size=20),
)


@cases(400)
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3))
def test_config_overrides(overrides):
    argv = ["tf-transfer", "compare"]
    argv += [f"--config.{name}={value}" for name, value in overrides.items()]
    line = tries(arguments.parse, argv)
    if line:
        tries(inputs.check, line.flags.config)


LABELS = st.one_of(
    arrays.arrays(
        st.sampled_from([np.int8, np.int32, np.int64, np.uint8]),
        arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=8),
        elements=st.integers(0, 100),
    ),
    arrays.arrays(
        st.sampled_from([np.int32, np.float32, np.float64, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=8),
    ),
)


@cases(250)
@given(LABELS, st.integers(-1, 8))
def test_label_arrays(labels, num_classes):
    prior = tries(tt.source_prior, labels, num_classes)
    if prior is not None:
        assert prior.sum() == pytest.approx(1)
    images = np.zeros((*np.shape(labels)[:1], 4, 4, 1), np.uint8)
    names = [str(i) for i in range(max(0, num_classes))]
    tries(image_data.ImageData, images, labels, names)
    if np.size(labels):
        weights = tt.ImportanceWeights(max(1, num_classes))
        tries(weights.draw, labels, batch_size=2, seed=0)


NUMBERS = st.one_of(
    st.floats(width=32), st.floats(0, 10, width=32), st.just(0.0)
)
VECTORS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5),
    elements=NUMBERS,
)


@cases(250)
@given(VECTORS, VECTORS, st.sampled_from([None, 0.5, 3.0]))
def test_weight_vectors(first, second, clip):
    weights = tt.ImportanceWeights(3, clip=clip)
    for values in (first, second):
        tries(weights.assign, values, np.full(3, 1 / 3))
        tries(weights.update, values, second)
        tries(tt.FixedPolicy, 3, values)
        tries(tt.WeightPolicy, 3, start=values)
        tries(tt.elastic_order, np.arange(3), values, seed=0)
    assert np.isfinite(weights.numpy()).all()
    computed = tries(tt.importance_weights, first, second, clip=clip)
    assert computed is None or np.isfinite(computed).all()


@pytest.fixture(scope="module")
def related():
    """Models of three source and two target classes."""
    encoder = tt.small_encoder((8, 8, 1), 4)
    model = tt.L2TL(encoder, 3, 2, policy=tt.FixedPolicy(3), relabel=True)
    return model, helpers.tiny_classifier(classes=3)


@cases(100)
@given(st.one_of(VECTORS, arrays.arrays(np.float32, (3, 2), elements=NUMBERS)))
def test_relations(related, relation):
    model, source = related
    tries(model.relate, relation)
    rows = np.array(model.relation).sum(axis=1)
    assert (np.isclose(rows, 1, atol=2e-3) | (rows == 0)).all()
    head = tries(classifiers.replace_head, source, 2, np.transpose(relation))
    assert head is None or head.output_shape == (None, 2)


@pytest.fixture(scope="module")
def identity():
    return keras.Sequential([keras.Input((3,)), keras.layers.Identity()])


@cases(60)
@given(VECTORS, LABELS, st.integers(-1, 4))
def test_images_and_labels_to_relate(identity, outputs, labels, num_classes):
    count = np.shape(labels)[:1]
    images = np.resize(outputs, (*count, 3)) if np.size(outputs) else None
    if images is None or not count:
        return
    dataset = tf.data.Dataset.from_tensors((images, labels))
    relation = tries(tt.class_relation, identity, dataset, num_classes)
    if relation is not None and np.isfinite(images).all():
        np.testing.assert_allclose(relation.sum(axis=1), 1, atol=1e-5)


def encoded(kind):
    stored = io.BytesIO()
    pixels = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
    PIL.Image.fromarray(pixels).save(stored, kind)
    return stored.getvalue()


def archive():
    stored = io.BytesIO()
    blobs = helpers.blobs(per_class=2)
    np.savez(stored, x_train=blobs.images, y_train=blobs.labels)
    return stored.getvalue()


@st.composite
def spoilt(draw, whole):
    """A valid file with some bytes changed, cut off or prepended."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(content) - 1))
        content[place] = draw(st.integers(0, 255))
    end = draw(st.sampled_from([None, len(whole) // 2, len(whole) - 1]))
    return draw(st.binary(max_size=3)) * draw(st.booleans()) + content[:end]


IMAGES = st.one_of(
    st.binary(max_size=200),
    spoilt(encoded("PNG")),
    spoilt(encoded("JPEG")),
    spoilt(encoded("GIF")),
    spoilt(encoded("BMP")),
)


@cases(400)
@given(IMAGES)
def test_bytes_as_images(content):
    image = tries(EncodedImages([bytes(content)], 5000).__getitem__, 0)
    if image is not None:
        assert image.ndim == 3
        assert image.shape[0] * image.shape[1] <= 5000
        raw = RawImages([image], np.zeros(1, np.int32), ["only"])
        framed = tries(loading.frame, raw, 8, 1)
        assert framed is None or framed.images.shape == (1, 8, 8, 1)


@pytest.fixture(scope="module")
def serve_bytes(tmp_path_factory):
    """The signature of a SavedModel that takes images of any size."""
    frame = framing.Frame(8, 1, framing.Appearance(255.0, 0.0))
    path = tt.export_serving(
        helpers.tiny_classifier(),
        tmp_path_factory.mktemp("served"),
        preprocessing=frame,
        max_pixels=5000,
    )
    model = tf.saved_model.load(str(path))
    return lambda **inputs: (model, model.signatures["serve_bytes"])[1](
        **inputs
    )


@cases(200)
@given(IMAGES)
def test_bytes_to_the_exported_model(serve_bytes, content):
    images = [encoded("PNG"), bytes(content)]
    sentence = ""
    try:
        outputs = serve_bytes(image_bytes=tf.constant(images))
        assert np.isfinite(outputs["probabilities"]).all()
    except tf.errors.InvalidArgumentError as error:
        sentence = str(error)
    reason = "image_bytes[1] is not a readable JPEG or PNG"
    assert not sentence or reason in sentence


@cases(150)
@given(st.one_of(st.binary(max_size=100), spoilt(archive())))
def test_bytes_as_an_archive(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "data.npz"
    path.write_bytes(content)
    tries(loading.load, f"npz:{path}", 8, 1)


@cases(30)
@given(st.data())
def test_bytes_as_a_model(tmp_path_factory, whole_model, choice):
    path = tmp_path_factory.mktemp("fuzz") / "model.keras"
    path.write_bytes(bytes(choice.draw(spoilt(whole_model))))
    tries(classifiers.load_classifier, str(path), (8, 8, 1), 4)


@pytest.fixture(scope="module")
def whole_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model.keras"
    helpers.tiny_classifier().save(path)
    return path.read_bytes()
