import io

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.export import signatures

NAMES = ["ant", "bee", "cat", "dog"]
FRAME = tt.Frame(8, 1, tt.Appearance(255.0, 0.9, 0.3))


def serving(model, preprocessing=None, **options):
    return signatures.ServedModel(
        model, NAMES, preprocessing, **options
    ).signatures


def expected(model, images):
    return keras.ops.softmax(model(images), axis=-1).numpy()


def pixels(batch, side=11, channels=3):
    shape = (batch, side, side + 5, channels)
    rng = np.random.default_rng(batch)
    return rng.integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_raw_images_of_any_kind_give_the_outputs_of_the_model(batch):
    model = helpers.tiny_classifier()
    functions = serving(model, FRAME, top_k=3)
    raw = pixels(batch)
    probabilities = expected(model, FRAME(raw).numpy() / np.float32(255))
    files = tf.stack([tf.io.encode_png(image) for image in raw])
    for name, inputs in {
        "serving_default": tf.constant(raw, tf.float32),
        "serve_uint8": tf.constant(raw),
        "serve_bytes": files,
    }.items():
        outputs = functions[name](inputs)
        np.testing.assert_allclose(
            outputs["probabilities"], probabilities, atol=1e-5
        )
        ids = outputs["class_ids"].numpy()
        assert ids.shape == (batch, 3)
        np.testing.assert_array_equal(ids[:, 0], probabilities.argmax(-1))
        names = np.array(NAMES, object)[ids]
        assert outputs["class_names"].numpy().astype(str).tolist() == (
            names.tolist()
        )
        np.testing.assert_allclose(
            outputs["top_probabilities"],
            -np.sort(-probabilities, axis=-1)[:, :3],
            atol=1e-5,
        )


def test_images_as_the_model_takes_them():
    model = helpers.tiny_classifier()
    functions = serving(model)
    raw = pixels(3)[:, :8, :8, :1]
    ready = raw / np.float32(255)
    probabilities = expected(model, ready)
    files = tf.stack([tf.io.encode_png(image) for image in raw])
    for name, inputs in {
        "serving_default": tf.constant(ready),
        "serve_uint8": tf.constant(raw),
        "serve_bytes": files,
    }.items():
        outputs = functions[name](inputs)["probabilities"]
        np.testing.assert_allclose(outputs, probabilities, atol=1e-5)
    features = functions["features"](tf.constant(ready))["features"]
    encoder = model.layers[0]
    np.testing.assert_allclose(features, encoder(ready), atol=1e-5)


def test_encoded_images_of_many_sizes_and_none():
    model = helpers.tiny_classifier()
    serve = serving(model, FRAME)["serve_bytes"]
    grey, colour = pixels(1, 20, 1)[0], pixels(1, 9, 3)[0]
    alpha = pixels(1, 30, 4)[0]
    images = [tf.io.encode_png(grey), tf.io.encode_jpeg(colour)]
    images += [tf.io.encode_png(alpha), tf.io.encode_jpeg(grey)]
    together = serve(tf.stack(images))["probabilities"]
    for i, image in enumerate(images):
        decoded = tf.io.decode_image(image)[None]
        alone = expected(model, FRAME(decoded).numpy() / np.float32(255))
        np.testing.assert_allclose(together[i], alone[0], atol=1e-5)
    assert serve(tf.zeros([0], tf.string))["class_names"].shape == (0, 4)


def test_many_pixels_are_prepared_one_by_one_with_the_same_result(monkeypatch):
    model = helpers.tiny_classifier()
    files = tf.stack([tf.io.encode_png(image) for image in pixels(3)])
    together = serving(model, FRAME)["serve_bytes"](files)["probabilities"]
    monkeypatch.setattr(signatures, "_AT_ONCE", 100)
    apart = serving(model, FRAME)["serve_bytes"](files)["probabilities"]
    np.testing.assert_allclose(together, apart, atol=1e-6)


@pytest.mark.parametrize("position", [0, 2, 4])
@pytest.mark.parametrize("bad", [b"", b"hello", "truncated png", "jpeg"])
@pytest.mark.slow
def test_a_bad_image_is_named_by_its_position(position, bad):
    whole = {
        "truncated png": tf.io.encode_png(pixels(1)[0]).numpy(),
        "jpeg": tf.io.encode_jpeg(pixels(1)[0]).numpy(),
    }
    bad = whole[bad][:100] if bad in whole else bad
    images = [tf.io.encode_png(image).numpy() for image in pixels(5)]
    images[position] = bad
    serve = serving(helpers.tiny_classifier(), FRAME)["serve_bytes"]
    message = rf"image_bytes\[{position}\] is not a readable JPEG or PNG"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve(tf.constant(images))


@pytest.mark.parametrize("encode", [tf.io.encode_png, tf.io.encode_jpeg])
@pytest.mark.slow
def test_an_image_of_too_many_pixels_is_refused(encode):
    model = helpers.tiny_classifier()
    images = tf.stack([encode(image) for image in pixels(2)])
    size = pixels(2).shape[1] * pixels(2).shape[2]
    for limit in (size, size - 1):
        serve = serving(model, FRAME, max_pixels=limit)["serve_bytes"]
        if limit == size:
            assert serve(images)["probabilities"].shape == (2, 4)
            continue
        message = rf"image_bytes\[0\] is .* of at most {limit} pixels"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            serve(images)


def test_other_formats_are_refused_as_their_size_is_not_read():
    serve = serving(helpers.tiny_classifier(), FRAME)["serve_bytes"]
    bitmap = io.BytesIO()
    PIL.Image.fromarray(np.zeros((8, 8), np.uint8)).save(bitmap, "BMP")
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a readable"):
        serve(tf.constant([bitmap.getvalue()]))


def test_without_preprocessing_another_size_is_named_too():
    serve = serving(helpers.tiny_classifier())["serve_bytes"]
    images = [tf.io.encode_png(np.zeros((n, 8, 1), np.uint8)) for n in (8, 9)]
    message = r"image_bytes\[1\] is .* of shape \(8, 8, 1\)"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve(tf.stack(images))


@pytest.mark.parametrize("shape", [(1, 0, 8, 1), (1, 8, 8, 5), (1, 8, 8, 0)])
def test_images_of_no_pixels_or_odd_channels_are_refused(shape):
    serve = serving(helpers.tiny_classifier(), FRAME)["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="1 to 4 channels"):
        serve(tf.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("framed", [False, True])
def test_images_that_are_not_finite_are_refused(value, framed):
    """A ReLU makes ordinary features of them, and so probabilities."""
    model = tt.classifier(tt.small_encoder((8, 8, 1), width=4), 2)
    served = signatures.ServedModel(
        model, ["a", "b"], FRAME if framed else None
    )
    images = np.zeros((2, 8, 8, 1), np.float32)
    images[1, 3, 3] = value
    for name in ("serving_default", "features"):
        serve = served.signatures[name]
        serve(tf.constant(np.zeros_like(images)))
        with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
            serve(tf.constant(images))


def test_a_softmax_at_the_end_is_not_applied_twice():
    inputs = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(inputs)
    outputs = keras.layers.Dense(4, activation="softmax")(flat)
    model = keras.Model(inputs, outputs)
    images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    outputs = serving(model)["serving_default"](tf.constant(images))
    np.testing.assert_allclose(
        outputs["probabilities"], model(images), atol=1e-5
    )


def test_any_function_of_tensors_preprocesses():
    def darken(images):
        return tf.image.resize(tf.cast(images, tf.float32) / 512.0, (8, 8))

    model = helpers.tiny_classifier()
    raw = pixels(2, channels=1)
    outputs = serving(model, darken)["serve_uint8"](tf.constant(raw))
    np.testing.assert_allclose(
        outputs["probabilities"], expected(model, darken(raw)), atol=1e-5
    )


def test_grey_and_colour_files_reach_any_preprocessing_alike():
    def shrink(images):
        return tf.image.resize(tf.cast(images, tf.float32) / 255, (8, 8))

    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4)(flat))
    grey = pixels(2, channels=1)
    files = [tf.io.encode_png(image) for image in grey]
    files[1] = tf.io.encode_png(grey[1].repeat(3, axis=-1))
    outputs = serving(model, shrink)["serve_bytes"](tf.stack(files))
    colour = grey.repeat(3, axis=-1)
    np.testing.assert_allclose(
        outputs["probabilities"], expected(model, shrink(colour)), atol=1e-5
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda images: tf.zeros([2, 9, 9, 1]),
        lambda images: None,
        lambda images: images.no_such_attribute,
        lambda images: images.numpy(),
    ],
)
def test_refuses_a_preprocessing_that_does_not_fit(wrong):
    with pytest.raises(InputError, match="`preprocessing` must turn images"):
        serving(helpers.tiny_classifier(), wrong)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_serves_the_same(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = helpers.tiny_classifier()
    finally:
        keras.config.set_dtype_policy(before)
    raw = pixels(16)
    probabilities = expected(model, FRAME(raw).numpy() / np.float32(255))
    outputs = serving(model, FRAME)["serve_uint8"](tf.constant(raw))
    np.testing.assert_allclose(
        outputs["probabilities"], probabilities, atol=1e-5
    )
    assert outputs["probabilities"].dtype == tf.float32


@pytest.mark.parametrize(
    "inside", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_a_mirrored_model_is_saved_once(mirrored, tmp_path, inside):
    with mirrored.scope():
        model = helpers.tiny_classifier()
        model.compile("adam", helpers.LOSS)
    data = helpers.blobs(per_class=4)
    model.fit(data.batches(8), verbose=0, shuffle=False)
    if inside:
        with mirrored.scope():
            signatures.save(tmp_path, serving(model))
    else:
        signatures.save(tmp_path, serving(model))
    size = sum(4 * np.prod(v.shape) for v in model.variables)
    (file,) = (tmp_path / "variables").glob("*.data-*")
    assert size <= file.stat().st_size <= 1.2 * size
    loaded = tf.saved_model.load(str(tmp_path))
    images = data.images[:5] / np.float32(255)
    outputs = loaded.signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(
        outputs["probabilities"], expected(model, images), atol=1e-5
    )


@keras.saving.register_keras_serializable("tests")
class Table(keras.layers.Layer):
    """A layer with a look-up layer in a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = {"a": keras.layers.IntegerLookup(vocabulary=[1, 2])}

    def call(self, inputs):
        return self.inner["a"](inputs)

    def compute_output_shape(self, shape):
        return shape


@pytest.mark.parametrize("kind", ["plain", "adapted", "inside"])
def test_look_up_tables_are_saved(tmp_path, kind):
    images = np.random.default_rng(0).integers(0, 4, (3, 8, 8, 1))
    images = images.astype(np.float32)
    layer = Table()
    if kind != "inside":
        vocabulary = [1, 2] if kind == "plain" else None
        layer = keras.layers.IntegerLookup(vocabulary=vocabulary)
    if kind == "adapted":
        layer.adapt(images.astype(np.int64))
    inputs = keras.Input((8, 8, 1))
    values = layer(keras.ops.cast(inputs, "int64"))
    values = keras.layers.Flatten()(keras.ops.cast(values, "float32"))
    model = keras.Model(inputs, keras.layers.Dense(3)(values))
    version = tt.export_serving(model, tmp_path)
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    np.testing.assert_allclose(
        served(tf.constant(images))["probabilities"],
        keras.ops.softmax(model(images)),
        atol=1e-5,
    )


def test_a_table_that_no_layer_holds_is_refused(tmp_path):
    keys, values = tf.range(3, dtype=tf.int64), tf.range(3.0)
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(keys, values), 0.0
    )
    read = keras.layers.Lambda(
        lambda x: table.lookup(tf.cast(x, tf.int64)), output_shape=lambda s: s
    )
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            read,
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    with pytest.raises(InputError, match="attributes of its layers"):
        tt.export_serving(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
