"""What a step of L2TL costs, over the passes it cannot do without. JSON.

python tests/benchmarks/l2tl_step.py

`passes`: a bare tf.function that does what no L2TL can do without: forward and
backward on kept source and target batch with the optimizer's update, and
forward on the validation batch; for the gradient credit also its backward pass
on the validation batch and its forward-mode pass on the source batch. `plain`:
forward and backward on source and target alone. Everything else in a step,
policy and metrics, costs the same for every encoder: so for two widths. The
last rows are for more classes and levels, with the memory of policy and credit
and the peak of the process.
"""

import argparse
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt

SIDE = 16
CLASSES, TARGETS, LEVELS = 30, 10, 11
CREDITS = ("reinforce", "feature", "gradient")


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


def passes(model: tt.L2TL, data: dict, credit: str | None):
    """Returns the bare passes as one function; None leaves out validation."""
    variables = model.model_variables()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step():
        (xs, ys), (xt, yt), (xv, yv) = data.values()
        with tf.GradientTape() as tape:
            outputs = model.source_head(model.encoder(xs, training=True))
            total = loss(ys, outputs) + loss(yt, model(xt, training=True))
        model.optimizer.apply(tape.gradient(total, variables), variables)
        if credit != "gradient":
            return None if credit is None else model(xv, training=False)
        encoder = [v.value for v in model.encoder.trainable_variables]
        with tf.GradientTape() as tape:
            total = loss(yv, model(xv, training=False))
        direction = tape.gradient(total, encoder)
        with tf.autodiff.ForwardAccumulator(encoder, direction) as forward:
            features = model.encoder(xs, training=False)
            total = loss(ys, model.source_head(features))
        return forward.jvp(total)

    return step


def repeated(function, steps: int):
    """Returns a function that calls another several times."""

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
    calls = {
        "step": lambda: whole(data),
        "passes": passes(model, data, credit),
        "plain": passes(model, data, None),
    }
    found = pairs.in_turn(
        {name: repeated(call, options.steps) for name, call in calls.items()},
        options.rounds,
    )
    state = [*model.policy.variables, *model.credit.variables]
    state += model.policy_optimizer.variables
    more = {
        "step_ms": pairs.rounded(
            1e3 * np.median(found["step"]) / options.steps
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
            "the passes it needs" if other == "passes" else "plain joint steps",
            found["step"] / found[other],
            most=goals.get(other) if few else None,
            **more,
        )
        for other in ("passes", "plain")
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
