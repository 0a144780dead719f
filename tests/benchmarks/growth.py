"""How cost grows, against the order that the docstrings promise. JSON.

python tests/benchmarks/growth.py

Each curve times one function for a growing number of classes, images or
devices, or a growing batch. `curve` is the time relative to the smallest. The
row is the measured growth over the promised growth: at most 1, with a tenth
allowed for noise. The devices are logical ones that share the processors, so
the row shows the overhead of several devices, not a gain.
"""

import argparse
import json
import os
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.data import shuffling
from tf_transfer.utils.tf_data import quiet

SIDE, FEATURES, LEVELS = 16, 32, 11
TARGETS = 10
NOISE = 1.1


class Curve(NamedTuple):
    """A function of a size.

    Attributes:
        make: a function from a size to the function that is timed.
        order: the promise, as the docstring states it.
        promised: a function from a size to the promised cost, up to a factor.
        sizes: the sizes, in ascending order.
        of: what the sizes count.
    """

    make: Callable[[int], Callable]
    order: str
    promised: Callable[[int], float]
    sizes: list[int]
    of: str


def weights_of(classes: int) -> tt.ImportanceWeights:
    """Returns unequal weights."""
    weights = tt.ImportanceWeights(classes, clip=10.0)
    shares = np.random.default_rng(0).dirichlet(np.ones(classes))
    weights.update(shares, np.full(classes, 1 / classes))
    return weights


def reads(dataset: tf.data.Dataset, batches: int) -> Callable:
    """Returns a function that reads the next batches."""
    iterator = iter(quiet(dataset))

    def read():
        for _ in range(batches):
            next(iterator)

    return read


def stages(options: argparse.Namespace) -> dict[str, Curve]:
    """The ways to apply weights, by the number of classes."""
    batch, batches = 1024, options.batches

    def labelled(classes):
        rng = np.random.default_rng(0)
        labels = tf.constant(rng.integers(0, classes, 64 * batch, np.int32))
        return shuffling.shuffled(64 * batch, batch_size=batch, seed=0).map(
            lambda i: (i, tf.gather(labels, i))
        )

    def resample(classes):
        stage = weights_of(classes).resample(labelled(classes), seed=0)
        return reads(stage, batches)

    def attach(classes):
        return reads(weights_of(classes).attach(labelled(classes)), batches)

    def draw(classes):
        labels = np.arange(64 * batch) % classes
        stage = weights_of(classes).draw(labels, batch_size=batch, seed=0)
        return reads(stage, batches)

    def log_order(classes):
        return classes + batch * np.log2(classes)

    flat = ("O(1) an example", lambda classes: 1.0, options.classes, "classes")
    order = "O(classes + batch log classes)"
    return {
        "resample": Curve(resample, *flat),
        "attach": Curve(attach, *flat),
        "draw": Curve(draw, order, log_order, options.classes, "classes"),
    }


def estimates(options: argparse.Namespace) -> dict[str, Curve]:
    """DATL's weights by the number of classes and of target images."""

    def estimate(classes, images):
        model = keras.Sequential(
            [keras.Input((FEATURES,)), keras.layers.Dense(classes)]
        )
        rows = np.random.default_rng(0).normal(size=(images, FEATURES))
        prior = np.full(classes, 1 / classes)
        return lambda: tt.estimate_target_prior(
            model, rows.astype(np.float32), prior, bootstrap=0
        )

    return {
        "estimate_target_prior, classes": Curve(
            lambda classes: estimate(classes, options.images[0]),
            "O(images classes)",
            float,
            options.classes,
            "classes",
        ),
        "estimate_target_prior, images": Curve(
            lambda images: estimate(100, images),
            "O(images classes)",
            float,
            options.images,
            "images",
        ),
    }


def step(classes: int, batch: int, options: argparse.Namespace) -> Callable:
    """Returns steps of an L2TL model, under the strategy in scope."""
    strategy = tf.distribute.get_strategy()
    model = tt.L2TL(
        tt.small_encoder((SIDE, SIDE, 1), options.width),
        classes,
        TARGETS,
        policy=tt.WeightPolicy(classes, LEVELS),
    )
    model.compile(keras.optimizers.SGD(0.01))
    rng = np.random.default_rng(0)

    def part(classes):
        images = rng.random((batch, SIDE, SIDE, 1), np.float32)
        labels = rng.integers(0, classes, batch).astype(np.int32)
        pair = tf.data.Dataset.from_tensors((images, labels))
        return pair.cache().repeat()

    data = quiet(tt.streams(part(classes), part(TARGETS), part(TARGETS)))
    iterator = iter(strategy.experimental_distribute_dataset(data))

    @tf.function
    def one(data):
        strategy.run(model.train_step, (data,))

    def steps():
        for _ in range(options.steps):
            one(next(iterator))

    return steps


def trainings(options: argparse.Namespace) -> dict[str, Curve]:
    """L2TL's step by classes, batch and devices."""

    def on_devices(count):
        with tt.strategy("mirrored" if count > 1 else "none").scope():
            return step(TARGETS, options.batch[-1], options)

    order = "O(batch + classes levels)"
    return {
        "L2TL step, classes": Curve(
            lambda classes: step(classes, options.batch[-1], options),
            order,
            lambda classes: options.batch[-1] + classes * LEVELS,
            options.classes,
            "classes",
        ),
        "L2TL step, batch": Curve(
            lambda batch: step(TARGETS, batch, options),
            order,
            float,
            options.batch,
            "images",
        ),
        "L2TL step, devices": Curve(
            on_devices, "none promised", lambda count: 1.0, [1, 2], "devices"
        ),
    }


def trace(name: str, curve: Curve, rounds: int) -> pairs.Row:
    """Times one curve."""
    first, last = curve.sizes[0], curve.sizes[-1]
    calls = {str(size): curve.make(size) for size in curve.sizes}
    seconds = pairs.in_turn(calls, rounds)
    grown = seconds[str(last)] / seconds[str(first)]
    promised = curve.promised(last) / curve.promised(first)
    goal = None if curve.of == "devices" else NOISE
    return pairs.row(
        f"{name}: growth, {first:,} to {last:,} {curve.of}",
        f"the promised {curve.order}",
        grown / promised,
        most=goal,
        promised=pairs.rounded(promised),
        curve={
            size: pairs.rounded(np.median(times / seconds[str(first)]))
            for size, times in seconds.items()
        },
    )


def run(options: argparse.Namespace) -> dict[str, list[pairs.Row]]:
    """Returns all rows."""
    curves = stages(options) | estimates(options) | trainings(options)
    chosen = {
        name: curve
        for name, curve in curves.items()
        if not options.curves or name in options.curves
    }
    rows = [
        trace(name, curve, options.rounds) for name, curve in chosen.items()
    ]
    return {"rows": rows}


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=7)
    flags.add_argument("--batches", type=int, default=100)
    flags.add_argument("--steps", type=int, default=10)
    flags.add_argument("--width", type=int, default=8)
    flags.add_argument("--curves", nargs="+")
    for name, sizes in (
        ("classes", [10, 100, 1_000, 18_291]),
        ("images", [1_000, 4_000, 16_000]),
        ("batch", [16, 32, 64]),
    ):
        flags.add_argument(f"--{name}", type=int, nargs="+", default=sizes)
    return flags


def main() -> None:
    """Prints the rows."""
    options = parser().parse_args()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    print(json.dumps(run(options), indent=1))


if __name__ == "__main__":
    main()
