"""The speed of training with DATL and L2TL on an accelerator. Prints JSON.

python tests/benchmarks/accelerator.py

A ResNet50 at 224 is trained by `fit` on random images in the host's memory:
plainly; with DATL's weights (images drawn by weight, as in `compare`; framed
images resampled; or weights in the loss); on source and target jointly with
equal weights; and by L2TL. Ratios are of seconds per step: DATL against plain
training with the same batch size, L2TL against joint training. Every row also
has the images trained per second (without those of validation), the share of
the time in which the accelerator was busy, and its peak memory.

`--jit` compiles the steps with XLA, as Keras does by default on a single
accelerator; `--cpu` measures the processor instead.
"""

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.utils.tf_data import quiet

TARGETS = 10
CREDITS = ("feature", "gradient", "reinforce")


def images(count: int, classes: int, options: argparse.Namespace):
    """Returns random images with labels."""
    rng = np.random.default_rng(classes)
    shape = (count, options.side, options.side, 3)
    pixels = rng.integers(0, 256, shape, np.uint8)
    labels = rng.integers(0, classes, count).astype(np.int32)
    return tt.ImageData(pixels, labels, [str(c) for c in range(classes)])


def encoder(options: argparse.Namespace) -> keras.Model:
    """Returns an encoder with random weights."""
    return tt.encoder(options.encoder, (options.side, options.side, 3))


class Data:
    """The batches of every training.

    Args:
        options: the flags.
    """

    def __init__(self, options: argparse.Namespace):
        self.source = images(options.images, options.classes, options)
        target = images(options.images // 4, TARGETS, options)
        self.batch = options.batch
        self.weights = tt.ImportanceWeights(options.classes)
        skewed = np.random.default_rng(0).gamma(0.5, size=options.classes)
        self.weights.assign(skewed, self.source.prior)
        half = options.batch // 2
        self.joint = tt.streams(
            self.source.shuffled_batches(half, seed=0),
            target.shuffled_batches(half, seed=1),
            target.shuffled_batches(half, seed=2),
        )

    def whole(self) -> tf.data.Dataset:
        """Returns batches of the source."""
        return self.source.shuffled_batches(self.batch, seed=0)

    def drawn(self) -> tf.data.Dataset:
        """Returns batches drawn by the weights, as `compare` does."""
        return self.source.gather(
            self.weights.draw(self.source.labels, batch_size=self.batch, seed=0)
        )


def single(options: argparse.Namespace) -> keras.Model:
    """Returns a compiled classifier of the source."""
    model = tt.classifier(encoder(options), options.classes)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=options.jit,
    )
    return model


def joint(credit: str | None, options: argparse.Namespace) -> tt.L2TL:
    """Returns a compiled L2TL, with fixed weights if there is no credit."""
    policy = tt.FixedPolicy(options.classes)
    if credit:
        policy = tt.WeightPolicy(options.classes)
    model = tt.L2TL(
        encoder(options),
        options.classes,
        TARGETS,
        policy=policy,
        credit=credit or "feature",
        policy_warmup=0,
    )
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9), jit_compile=options.jit
    )
    return model


def trainings(
    options: argparse.Namespace,
) -> dict[str, tuple[keras.Model, tf.data.Dataset]]:
    """Returns the model and the batches of every training."""
    data = Data(options)
    models = {
        "plain": (single(options), data.whole()),
        "DATL, drawn": (single(options), data.drawn()),
        "DATL, resampled": (
            single(options),
            data.weights.resample(data.whole(), seed=0),
        ),
        "DATL, in the loss": (
            single(options),
            data.weights.attach(data.whole()),
        ),
        "joint": (joint(None, options), data.joint),
    }
    for credit in options.credits:
        models[f"L2TL, {credit}"] = joint(credit, options), data.joint
    return models


class Busy:
    """Measures how busy the first accelerator is in the block, in per cent.

    The share is None without `nvidia-smi`.
    """

    def __enter__(self):
        self.share, self._sampler = None, None
        command = ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu"]
        if shutil.which(command[0]):
            self._sampler = subprocess.Popen(
                [*command, "--format=csv,noheader,nounits", "-lms", "50"],
                stdout=subprocess.PIPE,
                text=True,
            )
        return self

    def __exit__(self, *_):
        if self._sampler is None:
            return
        self._sampler.terminate()
        samples = self._sampler.communicate()[0].split()
        if samples:
            self.share = round(float(np.mean([float(s) for s in samples])), 1)


def on_accelerator(function: Callable) -> dict[str, float | None]:
    """Returns how busy a function keeps the accelerator, and peak memory."""
    devices = tf.config.list_logical_devices("GPU")
    if devices:
        tf.config.experimental.reset_memory_stats("GPU:0")
    with Busy() as busy:
        function()
    held = None
    if devices:
        held = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return {"busy_percent": busy.share, "peak_mb": held and pairs.rounded(held)}


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns all rows."""
    if not options.cpu and not tf.config.list_logical_devices("GPU"):
        return {"rows": [], "absent": ["there is no accelerator"]}
    keras.mixed_precision.set_dtype_policy(options.precision)
    steps, functions = options.steps, {}
    for name, (model, batches) in trainings(options).items():
        functions[name] = fitting(model, quiet(batches.prefetch(4)), steps)
    seconds = pairs.in_turn(functions, options.rounds)
    rows = [row(name, functions[name], seconds, options) for name in functions]
    return {"rows": rows}


def fitting(model: keras.Model, data: tf.data.Dataset, steps: int) -> Callable:
    """Returns a function that trains for some more steps."""
    return lambda: model.fit(
        data, steps_per_epoch=steps, shuffle=False, verbose=0
    )


def row(
    name: str,
    function: Callable,
    seconds: pairs.Times,
    options: argparse.Namespace,
) -> pairs.Row:
    """Returns the row of one training; its name includes the figures."""
    against = "joint" if name.startswith("L2TL") else "plain"
    trained = options.batch * options.steps / np.median(seconds[name])
    speed = f"{trained:.0f} images/s"
    more = on_accelerator(function)
    if more["busy_percent"] is not None:
        speed += f", {more['busy_percent']:.0f} % busy"
    if more["peak_mb"]:
        speed += f", {more['peak_mb'] / 1024:.1f} GB"
    return pairs.row(
        f"{options.encoder} at {options.side}, {options.precision}, "
        f"{device()}{', XLA' * options.jit}: {name} ({speed})",
        f"{against} training",
        seconds[name] / seconds[against],
        images_per_second=pairs.rounded(trained),
        **more,
        batch=options.batch,
        jit=options.jit,
    )


def device() -> str:
    """Returns the name of the accelerator, or "CPU"."""
    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return "CPU"
    details = tf.config.experimental.get_device_details(devices[0])
    return details.get("device_name", devices[0].name)


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--steps", type=int, default=15)
    flags.add_argument("--batch", type=int, default=128)
    flags.add_argument("--encoder", default="ResNet50")
    flags.add_argument("--side", type=int, default=224)
    flags.add_argument("--images", type=int, default=2048)
    flags.add_argument("--classes", type=int, default=1000)
    flags.add_argument("--credits", nargs="*", default=CREDITS)
    flags.add_argument("--precision", default="mixed_bfloat16")
    flags.add_argument("--jit", action="store_true")
    flags.add_argument("--cpu", action="store_true")
    return flags


def main() -> None:
    """Prints the rows."""
    print(json.dumps(run(parser().parse_args()), indent=1))


if __name__ == "__main__":
    main()
