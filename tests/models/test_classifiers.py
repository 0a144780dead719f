import keras
import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.models import classifiers


def test_replace_head_keeps_the_encoder_and_copies_it():
    source = helpers.tiny_classifier(classes=6)
    before = source.get_weights()
    target = classifiers.replace_head(source, 3)
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    np.testing.assert_allclose(
        classifiers.encoder_of(source)(images),
        classifiers.encoder_of(target)(images),
    )
    target.compile("sgd", helpers.LOSS)
    target.fit(images, np.array([0, 1]), verbose=0)
    for one, other in zip(before, source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert target.output_shape == (None, 3)


def test_replace_head_does_not_repeat_the_head_of_the_same_seed():
    keras.utils.set_random_seed(0)
    old = helpers.tiny_classifier(8)
    keras.utils.set_random_seed(0)
    new = classifiers.replace_head(old, 8)
    one, other = (m.layers[-1].get_weights()[0].ravel() for m in (old, new))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


def test_replace_head_takes_any_functional_model():
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Flatten()(inputs)
    outputs = keras.layers.Dense(5, name="features")(outputs)
    outputs = keras.layers.Dense(4)(outputs)
    source = keras.Model(inputs, outputs)
    target = classifiers.replace_head(source, 2)
    assert classifiers.encoder_of(target).output_shape == (None, 5)


def flat_classifier(units, **head):
    """A model with one head on few features."""
    inputs = keras.Input((8, 8, 1))
    features = keras.layers.Dense(5)(keras.layers.Flatten()(inputs))
    head = keras.layers.Dense(units, name="old", **head)(features)
    return keras.Model(inputs, head)


@pytest.mark.parametrize("bias", [True, False])
def test_a_related_head_gives_the_mixture_of_the_old_logits(bias):
    source = flat_classifier(3, use_bias=bias, bias_initializer="normal")
    relation = [[1, 0, 0], [0.5, 0.25, 0.25], [0, 0.1, 0.9], [1 / 3] * 3]
    target = classifiers.replace_head(source, 4, relation)
    images = np.random.default_rng(0).normal(size=(6, 8, 8, 1))
    old = np.array(source(images))
    expected = old @ np.transpose(relation)
    np.testing.assert_allclose(target(images), expected, atol=1e-5)
    np.testing.assert_allclose(target(images)[:, 0], old[:, 0], atol=1e-5)
    assert len(target.layers[-1].get_weights()) == 2


@pytest.mark.parametrize("kind", ["lora", "int8"])
def test_a_head_of_another_kind_can_be_related(kind):
    source = flat_classifier(3, bias_initializer="normal")
    head = source.layers[-1]
    if kind == "lora":
        head.enable_lora(2)
        head.set_weights([np.ones_like(w) / 3 for w in head.get_weights()])
    else:
        head.quantize("int8")
    target = classifiers.replace_head(source, 3, np.eye(3))
    images = np.random.default_rng(0).normal(size=(6, 8, 8, 1))
    np.testing.assert_allclose(target(images), source(images), atol=0.05)


def test_a_head_has_weights():
    softmax = keras.layers.Softmax(name="last")
    model = keras.Sequential([helpers.tiny_classifier(), softmax])
    with pytest.raises(InputError, match=r"remove this one.*: Softmax 'last'"):
        classifiers.replace_head(model, 3)


def test_training_a_related_head_does_not_change_the_old_one():
    source = helpers.tiny_classifier(classes=3)
    before = source.get_weights()
    target = classifiers.replace_head(source, 2, [[1, 0, 0], [0, 0.5, 0.5]])
    head = target.layers[-1].get_weights()
    target.compile("sgd", helpers.LOSS)
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    target.fit(images, np.array([0, 1]), verbose=0)
    for one, other in zip(head, target.layers[-1].get_weights(), strict=True):
        assert (one != other).any()
    for one, other in zip(before, source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "relation",
    [
        np.full((3, 4), 0.25),
        np.full((4, 3), 0.25),
        np.full(3, 0.25),
        np.full((4, 4), np.nan),
        np.full((4, 4), np.inf),
    ],
    ids=["too few rows", "too few columns", "flat", "nan", "inf"],
)
def test_a_relation_must_fit(relation):
    source = flat_classifier(4)
    with pytest.raises(InputError, match=r"finite, of shape \(4, 4\)"):
        classifiers.replace_head(source, 4, relation)


def test_only_a_dense_head_can_be_related():
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    outputs = keras.layers.BatchNormalization(name="last")(outputs)
    source = keras.Model(inputs, outputs)
    message = "Dense layer. Received: BatchNormalization 'last'"
    with pytest.raises(InputError, match=message):
        classifiers.replace_head(source, 2, np.full((2, 3), 1 / 3))
    assert classifiers.replace_head(source, 2).output_shape == (None, 2)


def test_gradients_reach_every_trainable_variable():
    model = helpers.tiny_classifier()
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(1.0), helpers.LOSS)
    images = helpers.blobs()
    model.fit(images.batches(8), verbose=0, shuffle=False)
    for one, other in zip(before, model.get_weights(), strict=True):
        assert (one != other).any()


def test_save_and_reload_equal(tmp_path):
    model = helpers.tiny_classifier()
    path = tmp_path / "model.keras"
    model.save(path)
    again = classifiers.load_classifier(str(path), (8, 8, 1), 4)
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(model(images), again(images))


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [((8, 8, 3), 4, "must map"), ((8, 8, 1), 5, "must map")],
)
def test_load_refuses_a_model_that_does_not_fit(
    tmp_path, shape, classes, message
):
    path = tmp_path / "model.keras"
    helpers.tiny_classifier().save(path)
    with pytest.raises(InputError, match=message):
        classifiers.load_classifier(str(path), shape, classes)


def test_load_refuses_an_unreadable_file(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(InputError, match="no such model file"):
        classifiers.load_classifier(str(path), (8, 8, 1), 4)
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot be loaded"):
        classifiers.load_classifier(str(path), (8, 8, 1), 4)


@pytest.mark.parametrize("last", ["sigmoid", "reshape"])
def test_load_refuses_a_model_that_does_not_return_logits(tmp_path, last):
    path = tmp_path / "model.keras"
    layers = [keras.layers.Flatten(), keras.layers.Dense(4, "sigmoid")]
    if last == "reshape":
        layers = [keras.layers.Dense(4), keras.layers.Reshape((256,))]
    keras.Sequential([keras.Input((8, 8, 1)), *layers]).save(path)
    with pytest.raises(InputError, match="built, and end in a layer"):
        classifiers.load_classifier(str(path), (8, 8, 1), 4)


def test_load_removes_a_softmax(tmp_path):
    path = tmp_path / "model.keras"
    model = helpers.tiny_classifier()
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    logits = model(images)
    model.layers[-1].activation = keras.activations.softmax
    model.save(path)
    again = classifiers.load_classifier(str(path), (8, 8, 1), 4)
    np.testing.assert_allclose(again(images), logits, atol=1e-6)


def test_statistics_follow_quickly_at_any_depth():
    def normalised(momentum):
        layer = keras.layers.BatchNormalization(momentum=momentum)
        return keras.Sequential([keras.Input((3,)), layer])

    slow, quick = normalised(0.999), normalised(0.5)
    classifiers.follow_quickly(
        keras.Sequential([keras.Input((3,)), slow, quick])
    )
    assert [m.layers[0].momentum for m in (slow, quick)] == [0.9, 0.5]


def test_heads_refuse():
    with pytest.raises(InputError, match="num_classes"):
        classifiers.replace_head(helpers.tiny_classifier(), 0)
    with pytest.raises(InputError, match="functional or Sequential, built"):
        classifiers.replace_head(keras.Sequential([keras.layers.Dense(2)]), 2)


@pytest.mark.parametrize(
    "use",
    [
        lambda model, path: tt.classifier(model, 3),
        lambda model, path: tt.replace_head(model, 3),
        lambda model, path: tt.L2TL(model, 4, 3),
        lambda model, path: tt.L2TL(
            tt.small_encoder((8, 8, 1), 4), 4, 3
        ).warm_start(model),
        lambda model, path: tt.Resume(model, None),
        lambda model, path: tt.export_serving(model, path),
        lambda model, path: tt.export_onnx(model, path),
        lambda model, path: tt.export_tflite(model, path),
    ],
)
def test_models_of_the_legacy_keras_are_refused(use, tmp_path):
    legacy = pytest.importorskip("tf_keras")
    model = legacy.Sequential(
        [
            legacy.layers.Input((8, 8, 1)),
            legacy.layers.Flatten(),
            legacy.layers.Dense(4),
        ]
    )
    model.compile("sgd", "mse")
    with pytest.raises(InputError, match=r"Keras 3|functional or Sequential"):
        use(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
