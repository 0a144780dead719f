"""The overhead of `fit` over the steps of our models. Prints JSON.

python tests/benchmarks/fit_overhead.py

Compares `fit` of an `L2TL` model on `streams` with a loop written by hand,
which calls the same `train_step` as one tf.function on the same data. It also
measures `L2TLTrainer.fit`, which the command line runs and which includes the
schedule, the progress and the check of the loss. `step_ms` and `loop_ms` are
the median milliseconds of a step.
"""

import argparse
import json
import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.config import Training
from tf_transfer.experiment.stages.trainers import L2TLTrainer, ProgressCallback
from tf_transfer.utils.tf_data import quiet

SOURCES, TARGETS = 335, 10
CREDITS = ("reinforce", "feature", "gradient")


def images(count: int, classes: int, options: argparse.Namespace):
    """Returns random images with labels."""
    rng = np.random.default_rng(classes)
    shape = (count, options.side, options.side, 1)
    labels = rng.integers(0, classes, count).astype(np.int32)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    return tt.ImageData(pixels, labels, [str(c) for c in range(classes)])


def streams(options: argparse.Namespace) -> tf.data.Dataset:
    """Returns infinite batches of random images."""
    parts = []
    for count, classes in ((2000, SOURCES), (100, TARGETS), (99, TARGETS)):
        batches = images(count, classes, options).batches(options.batch)
        parts.append(batches.cache().repeat())
    return quiet(tt.streams(*parts).prefetch(2))


def make(credit: str, options: argparse.Namespace) -> tt.L2TL:
    """Returns a model with random weights."""
    return tt.L2TL(
        tt.small_encoder((options.side, options.side, 1), options.width),
        SOURCES,
        TARGETS,
        credit=credit,
    )


def loop(model: tt.L2TL, data: tf.data.Dataset, steps: int) -> Callable:
    """Returns a training loop written by hand."""
    step = tf.function(model.train_step, reduce_retracing=True)

    def run():
        model.reset_metrics()
        iterator = iter(data)
        for _ in range(steps):
            logs = step(next(iterator))
        return {name: float(value) for name, value in logs.items()}

    return run


def compare(credit: str, options: argparse.Namespace) -> list[pairs.Row]:
    """Times `fit` against the loop."""
    steps, data = options.steps, streams(options)
    by_hand, fitted, ours = (make(credit, options) for _ in range(3))
    for model in (by_hand, fitted):
        model.compile(keras.optimizers.SGD(0.01), metrics=["accuracy"])
    reusable = L2TLTrainer(ours, [steps])
    seconds = pairs.in_turn(
        {
            "loop": loop(by_hand, data, steps),
            "fit": lambda: fitted.fit(
                data, steps_per_epoch=steps, verbose=0, shuffle=False
            ),
            "ours": lambda: reusable.fit(
                lambda start: data,
                Training(steps=steps, learning_rate=0.01),
                [ProgressCallback(lambda count: None)],
            ),
        },
        options.rounds,
    )
    return [
        pairs.row(
            f"{what}, {credit} credit",
            "the same step in a loop written by hand",
            seconds[name] / seconds["loop"],
            most=1.05,
            step_ms=pairs.rounded(1e3 * np.median(seconds[name]) / steps),
            loop_ms=pairs.rounded(1e3 * np.median(seconds["loop"]) / steps),
        )
        for name, what in (("fit", "fit"), ("ours", "fit in `compare`"))
    ]


def run(options: argparse.Namespace) -> dict[str, list[pairs.Row]]:
    """Returns all rows."""
    rows = [row for name in options.credits for row in compare(name, options)]
    return {"rows": rows}


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=7)
    flags.add_argument("--steps", type=int, default=100)
    flags.add_argument("--batch", type=int, default=64)
    flags.add_argument("--side", type=int, default=16)
    flags.add_argument("--width", type=int, default=8)
    flags.add_argument("--credits", nargs="+", default=CREDITS)
    return flags


def main() -> None:
    """Prints the rows."""
    print(json.dumps(run(parser().parse_args()), indent=1))


if __name__ == "__main__":
    main()
