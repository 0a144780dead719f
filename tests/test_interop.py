"""Both methods work with callbacks, tuners and encoders of Keras."""

import functools

import keras
import keras_hub
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

import tf_transfer as tt
from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.errors import InputError

slow = functools.partial(pytest.param, marks=pytest.mark.slow)

SOURCE = helpers.blobs(per_class=8, classes=8)
TARGET = helpers.blobs(per_class=4, seed=1)
VALIDATION = helpers.blobs(per_class=4, seed=2)
IMAGES = TARGET.images / np.float32(255)


def l2tl(encoder=None, rate=0.05):
    model = tt.L2TL(encoder or sequential(), 8, 4, policy_warmup=0)
    optimizer = keras.optimizers.SGD(rate)
    model.compile(optimizer, "adam", metrics=["accuracy"])
    return model


def streams(source=SOURCE, target=TARGET, validation=VALIDATION):
    return tt.streams(
        source.batches(32), target.batches(8), validation.batches(16)
    )


def with_l2tl():
    """A model, its data, and callbacks of the method."""
    return l2tl(), streams(), VALIDATION.batches(16), []


def with_datl():
    model = tt.classifier(sequential(), 8)
    optimizer = keras.optimizers.SGD(0.05)
    model.compile(optimizer, helpers.LOSS, metrics=["accuracy"])
    weights = tt.ImportanceWeights(8)
    datl = tt.DATL(weights, IMAGES, SOURCE.prior, model)
    data = weights.attach(SOURCE.batches(32))
    return model, data, SOURCE.batches(32), [datl]


@pytest.mark.slow
@pytest.mark.parametrize("method", [with_datl, with_l2tl])
def test_the_callbacks_of_keras(method, tmp_path):
    model, data, validation, callbacks = method()
    best = tmp_path / "best.keras"
    slower = {"monitor": "loss", "min_delta": 1e9, "patience": 1}
    history = model.fit(
        data,
        validation_data=validation,
        epochs=5,
        verbose=0,
        shuffle=False,
        callbacks=[
            *callbacks,
            # No epoch is that much better, so the first stays the best.
            keras.callbacks.EarlyStopping(
                "val_loss", 1e9, patience=2, restore_best_weights=True
            ),
            keras.callbacks.ModelCheckpoint(
                best, "val_loss", save_best_only=True, mode="max"
            ),
            keras.callbacks.ModelCheckpoint(
                tmp_path / "epoch-{epoch}.weights.h5", save_weights_only=True
            ),
            keras.callbacks.ReduceLROnPlateau(factor=0.5, **slower),
            keras.callbacks.TensorBoard(tmp_path / "logs"),
        ],
    ).history
    assert len(history["loss"]) == 3
    assert {"val_loss", "val_accuracy"} <= set(history)
    assert "val_reward" not in history
    np.testing.assert_allclose(history["learning_rate"], [0.05, 0.05, 0.025])
    restored = model.get_weights()
    model.load_weights(tmp_path / "epoch-1.weights.h5")
    for one, other in zip(restored, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded = keras.saving.load_model(best)
    worst = int(np.argmax(history["val_loss"]))
    model.load_weights(tmp_path / f"epoch-{worst + 1}.weights.h5")
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), atol=1e-6)
    events = event_accumulator.EventAccumulator(
        str(tmp_path / "logs" / "train")
    )
    events.Reload()
    recorded = [
        float(tf.make_ndarray(event.tensor_proto))
        for event in events.Tensors("epoch_loss")
    ]
    np.testing.assert_allclose(recorded, history["loss"], rtol=1e-5)


@pytest.mark.slow
# KerasTuner 1.4 uses names that Python has deprecated.
@pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")
def test_keras_tuner_searches_over_l2tl(tmp_path):
    def build_model(hp):
        return l2tl(rate=hp.Choice("rate", [0.01, 0.1]))

    tuner = keras_tuner.RandomSearch(
        build_model,
        keras_tuner.Objective("val_accuracy", "max"),
        max_trials=2,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(
        streams(),
        validation_data=VALIDATION.batches(16),
        epochs=1,
        verbose=0,
        shuffle=False,
    )
    rates = {t.hyperparameters["rate"] for t in tuner.oracle.trials.values()}
    assert rates == {0.01, 0.1}
    (best,) = tuner.get_best_models(1)
    logs = best.evaluate(VALIDATION.batches(16), verbose=0, return_dict=True)
    scores = [trial.score for trial in tuner.oracle.trials.values()]
    assert logs["accuracy"] == pytest.approx(max(scores))
    assert best.importance_weights().shape == (8,)


@keras.saving.register_keras_serializable("test_interop")
class Subclassed(keras.Model):
    """An encoder whose shapes are unknown until it is called."""

    def __init__(self, units=6, **settings):
        super().__init__(**settings)
        self.units = units
        self.flat = keras.layers.Flatten()
        self.dense = keras.layers.Dense(units, activation="relu")

    def call(self, images):
        return self.dense(self.flat(images))

    def get_config(self):
        return {"units": self.units, "name": self.name}


def test_a_subclassed_model_may_be_the_generalist():
    target = helpers.blobs(per_class=2).batches(4)
    model = Subclassed(units=4)
    relation = tt.class_relation(model, target, 4)
    prior = tt.estimate_target_prior(model, target, np.full(4, 0.25)).prior
    # The target has the same number of images of every class.
    np.testing.assert_allclose(prior, relation.mean(axis=0), rtol=1e-5)
    with pytest.raises(InputError, match="must be functional or Sequential"):
        tt.replace_head(model, 3)


def functional():
    inputs = keras.Input((8, 8, 1))
    one, two = (keras.layers.Flatten()(inputs) for _ in range(2))
    features = keras.layers.Dense(6)(keras.layers.Add()([one, two]))
    return keras.Model(inputs, features)


def sequential():
    layers = [keras.layers.Flatten(), keras.layers.Dense(6)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def subclassed():
    encoder = Subclassed()
    encoder(IMAGES)
    return encoder


def hub():
    """A backbone of keras-hub, pooled to features."""
    backbone = keras_hub.models.VGGBackbone(
        stackwise_num_repeats=[1],
        stackwise_num_filters=[6],
        image_shape=(8, 8, 1),
    )
    pool = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((8, 8, 1)), backbone, pool])


@pytest.mark.parametrize(
    "build",
    [
        subclassed,
        *(slow(build) for build in (functional, sequential, hub)),
    ],
)
def test_any_encoder(build, tmp_path):
    """It trains by both methods, is saved, and takes another head."""
    source = tt.classifier(build(), 8)
    source.build((None, 8, 8, 1))
    source.compile("sgd", helpers.LOSS)
    weights = tt.ImportanceWeights(8)
    datl = tt.DATL(weights, IMAGES, SOURCE.prior, source)
    data = weights.attach(SOURCE.batches(32))
    source.fit(data, verbose=0, shuffle=False, callbacks=[datl])
    target = tt.replace_head(source, 4)
    assert target(IMAGES).shape == (16, 4)
    model = l2tl(build())
    model.warm_start(source)
    model.fit(streams(), verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(IMAGES), model(IMAGES), atol=1e-6)
    np.testing.assert_allclose(
        again.importance_weights(), model.importance_weights(), rtol=1e-6
    )
    logits = model.classifier()(IMAGES)
    np.testing.assert_allclose(logits, model(IMAGES), atol=1e-6)


@pytest.mark.slow
def test_a_comparison_starts_from_a_keras_hub_preset(tmp_path):
    backbone = keras_hub.models.VGGBackbone(
        stackwise_num_repeats=[1], stackwise_num_filters=[4]
    )
    backbone.save_to_preset(tmp_path / "preset")
    source, target = (
        tt.ImageData(
            np.repeat(part.images, 3, axis=-1), part.labels, part.class_names
        )
        for part in (SOURCE, helpers.blobs(per_class=12, seed=1))
    )
    encoder = config_lib.Encoder(
        name=f"keras_hub:{tmp_path / 'preset'}", weights="preset"
    )
    config = helpers.tiny_experiment(encoder=encoder, methods=("l2tl",))
    (row,) = tt.compare(
        config, tmp_path / "run", source=source, target=target, quiet=True
    )
    assert 0 <= row.accuracy <= 100
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").exists()
