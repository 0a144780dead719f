"""What a step of L2TL costs, over the passes it cannot do without. JSON.

python tests/benchmarks/l2tl_step.py

`ratio`: the step's time over that of a bare tf.function that does what no
L2TL can do without: forward and backward on kept source and target batch with
the optimizer's update, and forward on the validation batch; for the gradient
credit also its backward pass on the validation batch and its forward-mode
pass on the source batch. `plain`: over forward and backward on source and
target alone. Medians over rounds in which all are timed in turn. `classes`:
the same ratio, the policy's and credit's memory and the peak of the process
for more classes and levels.
"""

import argparse
import json
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import tf_transfer as tt

SIDE = 16
CLASSES, TARGETS = 30, 10


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


def timed(functions: dict, rounds: int, steps: int) -> dict[str, float]:
    """Returns the median seconds per step of functions run in turn."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        for _ in range(3):
            function()
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            for _ in range(steps):
                function()
            found[name].append((time.perf_counter() - started) / steps)
    return {name: float(np.median(times)) for name, times in found.items()}


def compare(
    credit: str, classes: int, levels: int, options: argparse.Namespace
) -> dict:
    """Times one credit against its passes."""
    count = options.batch
    data = {
        "source": batch(count, classes, 0),
        "target": batch(count, TARGETS, 1),
        "validation": batch(count, TARGETS, 2),
    }
    model = make(credit, classes, levels, options.width)
    whole = tf.function(model.train_step)
    found = timed(
        {
            "step": lambda: whole(data),
            "passes": passes(model, data, credit),
            "plain": passes(model, data, None),
        },
        options.rounds,
        options.steps,
    )
    state = [*model.policy.variables, *model.credit.variables]
    state += model.policy_optimizer.variables
    return {
        "ratio": round(found["step"] / found["passes"], 3),
        "plain": round(found["step"] / found["plain"], 3),
        "step_ms": round(1e3 * found["step"], 2),
        "state_mb": round(sum(4 * np.prod(v.shape) for v in state) / 2**20, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=8)
    options = parser.parse_args()
    credits = ("reinforce", "feature", "gradient")
    found = {
        "credits": {
            name: compare(name, CLASSES, 11, options) for name in credits
        },
        "classes": {
            f"{classes} classes, {levels} levels": compare(
                "feature", classes, levels, options
            )
            for classes, levels in ((100, 11), (1000, 100), (18291, 100))
        },
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
