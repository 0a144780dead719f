"""What half a pass over a broad source teaches small encoders. Prints JSON.

python tests/benchmarks/early_learning.py --widths 8 32

The source is Tiny-ImageNet and CIFAR-100 at 32 pixels: 300 classes, 120,000
images, of which 5,000 are held out. `pooled` is the pooled form of
`small_encoder` with Muon, at the rate that the package finds. `plain` is the
same network with batch normalisation, ReLU and SGD at rate .1. Both are trained
in turn on the same images in the same order. The rows are the ratios of the
times; the accuracies on the held-out images, in per cent, stand beside them.
A round takes two minutes with width 8 on two cores and eight with width 32, and
needs `../shared/data`.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.config import Training
from tf_transfer.data import shuffling
from tf_transfer.data.image_data import ImageData
from tf_transfer.experiment.stages import rates
from tf_transfer.experiment.stages.trainers import Trainer

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"
WARM = Training(steps=10, learning_rate=1e-6)
HELD_OUT, BATCH, SHAPE = 5_000, 64, (32, 32, 3)
GOALS = {8: 11.0, 32: 15.0}
"""Least accuracy by width, with 28,000 and 317,000 parameters."""


def broad_source(most: int) -> ImageData:
    """Returns the images of both sets, in a fixed random order."""
    images, labels = [], []
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }
    path = DATA / "tiny_imagenet_32.tfrecord"
    for record in tf.data.TFRecordDataset(str(path)).take(most):
        example = tf.io.parse_single_example(record, features)
        images.append(tf.io.decode_jpeg(example["image/encoded"], 3).numpy())
        labels.append(int(example["image/class/label"]))
    cifar = np.load(DATA / "cifar100.npz")
    images = np.concatenate([np.stack(images), cifar["x_train"][:most]])
    others = 200 + cifar["y_train"][:most].astype(int)
    labels = np.concatenate([labels, others])
    order = np.random.default_rng(0).permutation(len(labels))
    names = [str(name) for name in range(300)]
    return ImageData(images[order], labels[order].astype(np.int32), names)


def plain_encoder(width: int) -> keras.Model:
    """Returns the network that the pooled form is compared with."""
    stack = [keras.Input(SHAPE), keras.layers.Rescaling(4.0, -2.0)]
    for filters, strides in ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1)):
        stack += [
            keras.layers.Conv2D(
                filters * width, 3, strides, padding="same", use_bias=False
            ),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
        ]
    return keras.Sequential([*stack, keras.layers.GlobalAveragePooling2D()])


def make(kind: str, width: int, seed: int) -> Trainer:
    """Returns a trainer of a new model."""
    keras.utils.set_random_seed(seed)
    if kind == "plain":
        encoder, optimizer = plain_encoder(width), "sgd"
    else:
        encoder = tt.small_encoder(SHAPE, width, "pooled")
        optimizer = "muon"
    model = tt.classifier(encoder, 300)
    model.build((None, *SHAPE))
    return Trainer(model, [100], optimizer)


def train(
    kind: str, width: int, seed: int, source: ImageData, steps: int
) -> tuple[Trainer, float, float]:
    """Trains a new model; returns it with its rate and the seconds."""
    indices = shuffling.shuffled(
        len(source.labels), batch_size=BATCH, seed=seed
    )
    batches = source.gather(indices)
    trainer, rate = make(kind, width, seed), 0.1
    start = trainer.state()
    if kind == "pooled":
        stage = Training(steps=steps, batch_size=BATCH)
        losses = rates.find(trainer, start, source, stage)
        rate = min(losses, key=losses.get)
    else:
        trainer.fit(lambda step: batches, WARM)  # traces the step
    trainer.assign(start)
    started = time.perf_counter()
    settings = Training(steps=steps, learning_rate=rate)
    trainer.fit(lambda step: batches, settings)
    return trainer, rate, time.perf_counter() - started


def measure(width: int, source: ImageData, options) -> dict:
    """Returns the row of one width."""
    count = len(source.labels) - min(HELD_OUT, len(source.labels) // 5)
    held_out = source.take(np.arange(count, len(source.labels)))
    source = source.take(np.arange(count))
    steps = max(10, round(options.passes * count / BATCH) // 10 * 10)
    seconds = {"pooled": [], "plain": []}
    accuracy = {"pooled": [], "plain": []}
    found = {"pooled": [], "plain": []}
    for seed in range(options.rounds):
        for kind in sorted(seconds, reverse=bool(seed % 2)):
            trainer, rate, spent = train(kind, width, seed, source, steps)
            outputs = trainer.logits(held_out.batches())
            right = outputs.argmax(axis=1) == held_out.labels
            accuracy[kind].append(round(100 * float(right.mean()), 2))
            seconds[kind].append(spent)
            found[kind].append(rate)
    parameters = make("pooled", width, 0).model.count_params()
    return pairs.row(
        f"half a pass over 300 classes, {parameters:,} parameters",
        "batch normalisation with SGD",
        np.divide(seconds["pooled"], seconds["plain"]),
        most=1.3,
        accuracy=accuracy,
        goal=GOALS.get(width),
        rates=found,
        seconds={k: pairs.rounded(np.median(v)) for k, v in seconds.items()},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=float, default=0.5)
    parser.add_argument("--most", type=int, default=100_000, help="of each set")
    options = parser.parse_args()
    source = broad_source(options.most)
    rows = [measure(width, source, options) for width in options.widths]
    print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
