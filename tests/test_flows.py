"""Whole flows, as a user composes them in Python."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from configs import glyphs_to_digits
from tests import helpers


@pytest.mark.slow
def test_datl_in_ten_lines(tmp_path):
    """The flow of the README, on any tf.data.Dataset."""
    source, target = helpers.blobs(), helpers.blobs(per_class=5, seed=1)
    prior = tt.source_prior(source.labels, 4)
    generalist = helpers.tiny_classifier()
    model = helpers.tiny_classifier()
    for each in (generalist, model):
        each.compile("adam", helpers.LOSS, metrics=["accuracy"])
    generalist.fit(source.batches(16), verbose=0, shuffle=False)

    weights = tt.ImportanceWeights(4, clip=10.0)
    model.fit(
        weights.resample(source.batches(16), seed=0),
        steps_per_epoch=8,
        callbacks=[tt.DATL(weights, target.batches(16), prior, generalist)],
        verbose=0,
        shuffle=False,
    )
    tuned = tt.replace_head(model, num_classes=4)
    tuned.compile("adam", helpers.LOSS, metrics=["accuracy"])
    tuned.fit(target.batches(16), epochs=2, verbose=0, shuffle=False)
    path = tt.export_serving(tuned, tmp_path / "export")
    assert weights.updates.numpy() == 1
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    images = target.images[:3] / np.float32(255)
    np.testing.assert_allclose(
        served(images=tf.constant(images))["probabilities"],
        keras.ops.softmax(tuned(images)),
        atol=1e-5,
    )


@pytest.mark.slow
def test_l2tl_and_its_refit(tmp_path):
    """The flow of the README: learn the weights, refit, serve."""
    source = helpers.blobs(classes=8)
    target, validation = (
        helpers.blobs(per_class=5, seed=seed) for seed in (1, 2)
    )
    generalist = helpers.tiny_classifier(classes=8)
    generalist.compile("adam", helpers.LOSS)
    generalist.fit(source.batches(16), verbose=0, shuffle=False)
    encoder = tt.small_encoder((8, 8, 1), 4)
    model = tt.L2TL(encoder, 8, 4, policy_warmup=4)
    model.warm_start(generalist)
    model.compile("sgd", policy_optimizer="adam", metrics=["accuracy"])
    streams = tt.streams(
        source.batches(16), target.batches(10), validation.batches(20)
    )
    model.fit(streams, verbose=0, shuffle=False)
    weights = model.importance_weights()

    policy = tt.FixedPolicy(8, weights, model.policy.expected_scale())
    refit = tt.L2TL(encoder, 8, 4, policy=policy)
    refit.warm_start(generalist)
    refit.compile("sgd", metrics=["accuracy"])
    labelled = helpers.blobs(per_class=10, seed=1)
    streams = tt.streams(source.batches(16), labelled.batches(10))
    refit.fit(streams, epochs=4, verbose=0, shuffle=False)
    path = tt.export_serving(refit.classifier(), tmp_path / "export")
    served = tf.saved_model.load(str(path))
    names = [v.name for v in served.signatures["serving_default"].variables]
    assert names
    assert not any("policy" in name or "logits" in name for name in names)
    images = target.images[:3] / np.float32(255)
    outputs = served.signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(
        outputs["probabilities"],
        keras.ops.softmax(refit.predict(images, verbose=0)),
        atol=1e-5,
    )


@pytest.mark.slow
def test_the_embedded_experiment_shows_the_papers_pattern(tmp_path):
    """DATL beats reversed weights, and pre-training beats none."""
    config = glyphs_to_digits.get_config()
    config.seeds = 3
    config.methods = ("scratch", "datl", "datl_reversed")
    rows = tt.compare(config, tmp_path / "run", quiet=True)
    accuracies = {row.method: row.accuracy for row in rows}
    assert accuracies["datl"] > accuracies["datl_reversed"]
    assert accuracies["datl"] > accuracies["scratch"] > 0.7
    lines = (tmp_path / "run" / "weights.csv").read_text().splitlines()[1:]
    ranked = sorted(lines, key=lambda line: -float(line.split(",")[-1]))
    top = {line.split(",")[2] for line in ranked[:30]}
    assert len(top & set("0123456789")) >= 4
