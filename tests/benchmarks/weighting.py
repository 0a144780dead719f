"""The cost of sample weights in `fit`, and of DATL's estimate. Prints JSON.

python tests/benchmarks/weighting.py

`attach` is the time of `fit` on `weights.attach(source)` over that on `source`,
in memory, with the small encoder at 32x32x3. `estimate` is the time from target
images to importance weights over that of `model.predict` on the same images.
`intervals` are the seconds of an estimate with 100 samples, beyond those of its
forward passes. `memory` is the peak of a process that estimates from the given
number of images.
"""

import argparse
import json
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.datl.estimation import ESTIMATORS
from tf_transfer.utils.tf_data import quiet

SHAPE = (32, 32, 3)


def classifier(width: int, classes: int) -> keras.Model:
    """Returns a model with random weights."""
    model = tt.classifier(tt.small_encoder(SHAPE, width), classes)
    model.build((None, *SHAPE))
    return model


def targets(count: int, batch: int) -> tf.data.Dataset:
    """Returns batches of random images, made as they are read."""

    def draw(position):
        return tf.random.stateless_uniform((batch, *SHAPE), [0, position])

    return quiet(tf.data.Dataset.range(count // batch).map(draw).prefetch(2))


def attach(options: argparse.Namespace) -> pairs.Row:
    """Weighted against unweighted training of the same model."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, options.classes, 2_000).astype(np.int32)
    images = rng.integers(0, 256, (2_000, *SHAPE)).astype(np.uint8)
    names = [str(c) for c in range(options.classes)]
    data = tt.ImageData(images, labels, names)
    source = data.batches(options.batch).repeat()
    weights = tt.ImportanceWeights(options.classes)
    weights.assign(rng.uniform(0, 2, options.classes), data.prior)
    model = classifier(options.width, options.classes)
    model.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def fit(dataset):
        dataset = quiet(dataset.prefetch(2))
        steps = {"steps_per_epoch": options.steps, "shuffle": False}
        return lambda: model.fit(dataset, verbose=0, **steps)

    seconds = pairs.in_turn(
        {"weighted": fit(weights.attach(source)), "plain": fit(source)},
        options.rounds,
    )
    return pairs.row(
        "fit with sample weights (`attach`)",
        "unweighted fit",
        seconds["weighted"] / seconds["plain"],
        most=1.02,
    )


def estimate(options: argparse.Namespace, classes: int) -> pairs.Row:
    """DATL's weights against a forward pass over the target."""
    model = classifier(options.width, classes)
    images = targets(options.targets, options.batch).cache()
    weights = tt.ImportanceWeights(classes, clip=10.0)
    prior = np.full(classes, 1 / classes)

    def end_to_end():
        result = tt.estimate_target_prior(model, images, prior, bootstrap=0)
        weights.update(result.prior, prior)

    seconds = pairs.in_turn(
        {"datl": end_to_end, "bare": lambda: model.predict(images, verbose=0)},
        (options.rounds + 1) // 2,  # fewer rounds, as each takes longer
    )
    return pairs.row(
        f"DATL's weights end to end, {classes} classes",
        "model.predict over the target",
        seconds["datl"] / seconds["bare"],
        most=1.05,
    )


def intervals(options: argparse.Namespace, estimator: str) -> pairs.Row:
    """P_t with an interval of 100 samples, beyond the forward passes."""
    rng = np.random.default_rng(0)
    classes, prior = options.many, np.full(options.many, 1 / options.many)

    def outputs(count, shares):
        labels = rng.choice(classes, count, p=shares).astype(np.int32)
        rows = rng.normal(size=(count, classes)).astype(np.float32)
        rows[np.arange(count), labels] += 4
        return rows, labels

    target, _ = outputs(options.interval, rng.dirichlet(np.ones(classes)))
    rows, labels = outputs(2 * options.interval, prior)
    labels[:classes] = np.arange(classes)
    target, held_out = (
        tf.data.Dataset.from_tensor_slices(each).batch(256)
        for each in ((target,), (rows, labels))
    )
    model = keras.Sequential([keras.Input((classes,)), keras.layers.Identity()])
    settings, inputs = {"estimator": estimator}, [target]
    if estimator in ("bbse", "lift"):
        settings["held_out"] = held_out
        inputs.append(held_out)

    def estimate():
        tt.estimate_target_prior(model, target, prior, **settings)

    def passes():
        for batches in inputs:
            for batch in batches:
                model.predict_on_batch(batch[0])

    seconds = pairs.in_turn(
        {"estimate": estimate, "passes": passes}, (options.rounds + 4) // 5
    )
    return pairs.row(
        f"P_t by {estimator} with its interval, {classes:,} classes, "
        f"{options.interval:,} images",
        "one second, beyond the forward passes",
        np.maximum(seconds["estimate"] - seconds["passes"], 0.001),
        most=2,
    )


def memory(options: argparse.Namespace) -> pairs.Row:
    """The peak memory of processes that estimate from few and many images."""
    peaks = {}
    for count in options.counts:
        command = [sys.executable, __file__, f"--only_estimate={count}"]
        command.append(f"--batch={options.batch}")
        output = subprocess.check_output(command, stderr=subprocess.DEVNULL)
        peaks[count] = json.loads(output)
    first, last = options.counts[0], options.counts[-1]
    return pairs.row(
        f"DATL's weights: peak of memory, {last:,} images",
        f"{first:,} images",
        peaks[last] / peaks[first],
        most=1.05,
        peak_mb=peaks,
    )


def only_estimate(count: int, options: argparse.Namespace) -> None:
    """Estimates with intervals, and prints the peak memory."""
    model = classifier(4, options.classes)
    prior = np.full(options.classes, 1 / options.classes)
    images = targets(count, options.batch)
    tt.estimate_target_prior(model, images, prior)
    print(json.dumps(pairs.peak_mb()))


def run(options: argparse.Namespace) -> dict[str, list[pairs.Row]]:
    """Returns all rows."""
    return {
        "rows": [
            attach(options),
            estimate(options, options.classes),
            estimate(options, options.many),
            *(intervals(options, name) for name in ESTIMATORS),
            memory(options),
        ]
    }


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=15)
    flags.add_argument("--steps", type=int, default=40)
    flags.add_argument("--batch", type=int, default=100)
    flags.add_argument("--width", type=int, default=8)
    flags.add_argument("--classes", type=int, default=100)
    flags.add_argument("--many", type=int, default=1_000)
    flags.add_argument("--targets", type=int, default=8_000)
    flags.add_argument("--interval", type=int, default=10_000)
    # Beyond 10,000 images a sample of the predictions is kept.
    flags.add_argument(
        "--counts", type=int, nargs="+", default=[10_000, 50_000]
    )
    flags.add_argument("--only_estimate", type=int, help=argparse.SUPPRESS)
    return flags


def main() -> None:
    """Prints the rows."""
    options = parser().parse_args()
    if options.only_estimate:
        only_estimate(options.only_estimate, options)
    else:
        print(json.dumps(run(options), indent=1))


if __name__ == "__main__":
    main()
