import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.export import saved_model


def test_exports_versions_that_equal_the_model(tmp_path):
    model = helpers.tiny_classifier()
    first = saved_model.export_serving(model, tmp_path / "export")
    second = saved_model.export_serving(model, tmp_path / "export")
    assert [first.name, second.name] == ["1", "2"]
    names = sorted(path.name for path in (tmp_path / "export").iterdir())
    assert names == ["1", "2"]
    serve = tf.saved_model.load(str(first)).signatures["serving_default"]
    for batch in (1, 5):
        images = np.random.default_rng(0).random((batch, 8, 8, 1), np.float32)
        outputs = serve(images=tf.constant(images))
        expected = keras.ops.softmax(model(images))
        np.testing.assert_allclose(
            outputs["probabilities"], expected, atol=1e-5
        )
        np.testing.assert_array_equal(
            outputs["class_ids"][:, 0], np.argmax(expected, axis=-1)
        )


def test_class_names_that_are_no_utf_8(tmp_path):
    names = ["a", "\u00e9", "\udcff", "b\ud800"]
    folder = saved_model.export_serving(
        helpers.tiny_classifier(), tmp_path, class_names=names
    )
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    served = serve(images=tf.zeros((1, 8, 8, 1)))["class_names"].numpy()[0]
    expected = ["a", "\u00e9", r"\udcff", r"b\ud800"]
    assert sorted(name.decode() for name in served) == sorted(expected)
    file = folder / "assets.extra" / "class_names.json"
    assert json.loads(file.read_text()) == expected


def test_the_folder_describes_the_model(tmp_path):
    frame = tt.Frame(8, 1, tt.Appearance(16.0, 0.0, 0.3))
    folder = saved_model.export_serving(
        helpers.tiny_classifier(),
        tmp_path,
        class_names=["a", "b", "c", "d\ne"],
        preprocessing=frame,
        provenance={"method": "mine"},
    )
    extra = folder / "assets.extra"
    names = json.loads((extra / "class_names.json").read_text())
    assert names == ["a", "b", "c", "d\ne"]
    provenance = json.loads((extra / "provenance.json").read_text())
    assert provenance["method"] == "mine"
    assert provenance["framing"]["appearance"]["maximum"] == 16.0
    assert {"tensorflow", "keras", "python"} <= set(provenance["versions"])
    assert (extra / "tf_serving_warmup_requests").stat().st_size > 0


def test_of_l2tl_only_the_target_classifier_is_written(tmp_path):
    model = tt.L2TL(tt.small_encoder((8, 8, 1), 8), 500, 4)
    model.compile("adam", policy_optimizer="adam")
    folder = saved_model.export_serving(model, tmp_path)
    classifier = model.classifier()
    size = sum(4 * np.prod(v.shape) for v in classifier.variables)
    (file,) = (folder / "variables").glob("*.data-*")
    assert size <= file.stat().st_size <= 1.2 * size
    graph = (folder / "saved_model.pb").read_bytes()
    assert b"source_head" not in graph
    assert b"policy" not in graph
    images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    np.testing.assert_allclose(
        serve(images=tf.constant(images))["probabilities"],
        keras.ops.softmax(classifier(images)),
        atol=1e-5,
    )


@pytest.mark.slow
def test_openvino_reads_the_saved_model(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the runtime's own imports
        import openvino

    model = helpers.tiny_classifier()
    folder = saved_model.export_serving(
        model, tmp_path, ["a", "b", "c", "d"], helpers.FRAME
    )
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else it may take bfloat16
    compiled = openvino.Core().compile_model(
        openvino.convert_model(str(folder)), "CPU", exact
    )
    for images in helpers.raw_images():
        outputs = compiled({"images": images})
        np.testing.assert_allclose(
            outputs["probabilities"],
            helpers.framed_outputs(model, images),
            atol=1e-4,
        )


def test_a_layer_called_classifier_is_not_taken_for_the_method(tmp_path):
    model = helpers.tiny_classifier()
    model.classifier = keras.layers.Dense(3)
    served = saved_model.serve(model, None, None)
    assert served.class_names == ["0", "1", "2", "3"]


class Subclass(keras.Model):
    def call(self, inputs):
        return inputs


class WithClassifier(Subclass):
    def classifier(self, features):
        return features


def diverged():
    """A classifier whose training diverged."""
    model = helpers.tiny_classifier()
    model.set_weights([w * np.nan for w in model.get_weights()])
    return model


def two_outputs():
    inputs = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(inputs)
    heads = [keras.layers.Dense(4)(flat) for _ in range(2)]
    return keras.Model(inputs, heads)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": keras.Sequential([keras.layers.Dense(2)])}, "and built"),
        ({"model": Subclass()}, "must be functional or Sequential, and built"),
        ({"model": WithClassifier()}, "must be functional or Sequential"),
        ({"model": "model.keras"}, "must be functional"),
        ({"model": diverged()}, "weights must be finite"),
        ({"model": two_outputs()}, r"must return logits \[B, C\]"),
        ({"class_names": ["a"]}, "`class_names` must be 4 strings"),
        ({"class_names": [1, 2, 3, 4]}, "`class_names` must be 4 strings"),
        ({"class_names": "abcd"}, "`class_names` must be 4 strings"),
        ({"preprocessing": "frame"}, "`preprocessing` must be a function"),
        ({"preprocessing": lambda x: x[0]}, "must turn images"),
        ({"top_k": 0}, "`top_k` must be at least 1"),
    ],
)
def test_refuses_and_leaves_nothing(tmp_path, changes, message):
    arguments = {"model": helpers.tiny_classifier()} | changes
    with pytest.raises(InputError, match=rf"{message}.*Received: "):
        saved_model.export_serving(path=tmp_path / "export", **arguments)
    assert not (tmp_path / "export").exists()
