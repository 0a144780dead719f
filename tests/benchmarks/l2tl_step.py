"""The cost of an L2TL step, relative to the passes that it needs. JSON.

python tests/benchmarks/l2tl_step.py

`passes` are the passes that every L2TL needs, as plain tf.functions called one
after another: a training step on a batch of source and target images, and a
forward pass on the validation batch; for the gradient credit also the backward
pass from there and the forward-mode pass on the source batch. `together` is
the same in one tf.function, with source and target in separate batches, which
TensorFlow runs in parallel. `plain` is the training step of `together` alone.
The rest of a step, policy and metrics, costs the same for every encoder, so
two widths are measured. The last rows have more classes and levels. Every row
has the memory of policy and credit, and the peak memory of the process.
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

SIDE = 16
CLASSES, TARGETS, LEVELS = 30, 10, 11
CREDITS = ("reinforce", "feature", "gradient")
AGAINST = {
    "passes": "the passes it needs, one after another",
    "together": "the passes it needs, in one function",
    "plain": "plain joint steps",
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batch(count: int, classes: int, seed: int):
    """Returns random images and labels."""
    rng = np.random.default_rng(seed)
    images = rng.random((count, SIDE, SIDE, 1), np.float32)
    return tf.constant(images), tf.constant(rng.integers(0, classes, count))


def make(credit: str, classes: int, levels: int, width: int) -> tt.L2TL:
    """Returns a compiled model."""
    model = tt.L2TL(
        tt.small_encoder((SIDE, SIDE, 1), width),
        classes,
        TARGETS,
        policy=tt.WeightPolicy(classes, levels),
        credit=credit,
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True))
    return model


def joint_step(model: tt.L2TL, data: dict, joined: bool) -> None:
    """Trains on source and target images, in one batch or in two."""
    (xs, ys), (xt, yt), _ = data.values()
    variables = model.model_variables()
    with tf.GradientTape() as tape:
        if joined:
            both = model.encoder(tf.concat([xs, xt], axis=0), training=True)
            source, target = tf.split(both, 2)
        else:
            source = model.encoder(xs, training=True)
            target = model.encoder(xt, training=True)
        total = LOSS(ys, model.source_head(source))
        total += LOSS(yt, model.target_head(target))
    model.optimizer.apply(tape.gradient(total, variables), variables)


def look(model: tt.L2TL, data: dict, credit: str) -> tf.Tensor:
    """Runs the validation pass, and the other passes that a credit needs."""
    (xs, ys), _, (xv, yv) = data.values()
    if credit != "gradient":
        return model(xv, training=False)
    values = model.credit.values(model)
    with tf.GradientTape() as tape:
        total = LOSS(yv, model(xv, training=False))
    direction = tape.gradient(total, values)
    with tf.autodiff.ForwardAccumulator(values, direction) as forward:
        features = model.encoder(xs, training=False)
        total = LOSS(ys, model.source_head(features))
    return forward.jvp(total)


def bare(model: tt.L2TL, data: dict, credit: str) -> dict[str, Callable]:
    """Returns the functions that a step is compared with."""
    joined = tf.function(lambda: joint_step(model, data, joined=True))
    apart = tf.function(lambda: joint_step(model, data, joined=False))
    looking = tf.function(lambda: look(model, data, credit))

    @tf.function
    def together():
        joint_step(model, data, joined=False)
        return look(model, data, credit)

    def passes():
        joined()
        looking()

    return {"passes": passes, "together": together, "plain": apart}


def repeated(function, steps: int):
    """Returns a function that calls another one several times."""

    def run():
        for _ in range(steps):
            function()

    return run


def compare(
    credit: str,
    classes: int,
    levels: int,
    width: int,
    options: argparse.Namespace,
) -> list[pairs.Row]:
    """Times one credit against its passes."""
    count = options.batch
    data = {
        "source": batch(count, classes, 0),
        "target": batch(count, TARGETS, 1),
        "validation": batch(count, TARGETS, 2),
    }
    model = make(credit, classes, levels, width)
    whole = tf.function(model.train_step)
    calls = {"step": lambda: whole(data)} | bare(model, data, credit)
    seconds = pairs.in_turn(
        {name: repeated(call, options.steps) for name, call in calls.items()},
        options.rounds,
    )
    state = [*model.policy.variables, *model.credit.variables]
    state += model.policy_optimizer.variables
    more = {
        "step_ms": pairs.rounded(
            1e3 * np.median(seconds["step"]) / options.steps
        ),
        "state_mb": round(sum(4 * np.prod(v.shape) for v in state) / 2**20, 1),
        "peak_mb": pairs.peak_mb(),
    }
    what = f"L2TL step, {credit}, width {width}, {classes} classes"
    few = classes == CLASSES
    goals = {"passes": 1.0 if credit == "reinforce" else 1.05}
    if credit != "reinforce":
        goals["plain"] = 2.0
    return [
        pairs.row(
            f"{what}, {levels} levels",
            AGAINST[other],
            seconds["step"] / seconds[other],
            most=goals.get(other) if few else None,
            **more,
        )
        for other in AGAINST
    ]


def run(options: argparse.Namespace) -> dict[str, list[pairs.Row]]:
    """Returns all rows."""
    rows = []
    for width in options.widths:
        for credit in options.credits:
            rows += compare(credit, CLASSES, LEVELS, width, options)
    for classes, levels in zip(options.classes, options.levels, strict=True):
        rows += compare("feature", classes, levels, options.widths[0], options)
    return {"rows": rows}


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=9)
    flags.add_argument("--steps", type=int, default=20)
    flags.add_argument("--batch", type=int, default=64)
    flags.add_argument("--credits", nargs="*", default=CREDITS)
    flags.add_argument("--widths", type=int, nargs="+", default=[8, 32])
    flags.add_argument(
        "--classes", type=int, nargs="*", default=[100, 1000, 18291]
    )
    flags.add_argument("--levels", type=int, nargs="*", default=[11, 100, 100])
    return flags


def main() -> None:
    """Prints the rows."""
    print(json.dumps(run(parser().parse_args()), indent=1))


if __name__ == "__main__":
    main()
