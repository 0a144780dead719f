"""The cost of scores for single source examples. Prints JSON.

python tests/benchmarks/scores.py

`scores` is the time of `score_examples` over that of one forward pass of the
encoder over the same source images, which lie in memory as framed images do. A
fifth of the labels is wrong.
`memory` is the peak of processes that score few and many images, which are made
as they are read, and the bytes per image by which it grows.
"""

import argparse
import json
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.models.inference import stream_outputs
from tf_transfer.utils.tf_data import quiet

SHAPE = (32, 32, 3)


def encoder(width: int):
    """Returns an encoder with random weights."""
    model = tt.small_encoder(SHAPE, width, "pooled")
    model.build((None, *SHAPE))
    return model


def scores(options: argparse.Namespace, beliefs: bool) -> pairs.Row:
    """Scores against a forward pass over the source."""
    rng = np.random.default_rng(0)
    count = options.images
    labels = rng.integers(0, options.classes, count).astype(np.int32)
    of_classes = rng.integers(0, 128, (options.classes, *SHAPE), np.uint8)
    images = of_classes[labels]
    images += rng.integers(0, 128, images.shape, np.uint8)
    wrong = rng.random(count) < 0.2
    labels[wrong] = rng.integers(0, options.classes, wrong.sum())
    names = [str(c) for c in range(options.classes)]
    source = tt.ImageData(images, labels, names)
    target = rng.random((options.targets, *SHAPE), np.float32)
    model = encoder(options.width)

    def bare():
        for _ in stream_outputs(model, source.batches()):
            pass

    def score():
        tt.score_examples(
            model, source, target, beliefs=beliefs, sample=options.sample
        )

    seconds = pairs.in_turn({"scores": score, "bare": bare}, options.rounds)
    what = "scores and beliefs" if beliefs else "scores"
    return pairs.row(
        f"{what} of {count:,} source images, {options.classes} classes",
        "one forward pass over them",
        seconds["scores"] / seconds["bare"],
        most=1.3,
    )


def memory(options: argparse.Namespace) -> pairs.Row:
    """The peak memory of processes that score few and many images."""
    peaks = {}
    for count in options.counts:
        command = [sys.executable, __file__, f"--only_score={count}"]
        command.append(f"--sample={options.sample}")
        output = subprocess.check_output(command, stderr=subprocess.DEVNULL)
        peaks[count] = json.loads(output)
    first, last = options.counts[0], options.counts[-1]
    grown = (peaks[last] - peaks[first]) * 1e6 / max(1, last - first)
    return pairs.row(
        f"scores: peak of memory, {last:,} images",
        f"{first:,} images",
        peaks[last] / peaks[first],
        most=1.05,
        peak_mb=peaks,
        bytes_per_image=round(grown, 1),
    )


def only_score(count: int, options: argparse.Namespace) -> None:
    """Scores images that are made as they are read; prints the peak."""
    batch = 512

    def draw(position):
        return tf.random.stateless_uniform((batch, *SHAPE), [0, position])

    made = quiet(tf.data.Dataset.range(count // batch).map(draw).prefetch(2))
    target = np.random.default_rng(0).random((80, *SHAPE), np.float32)
    tt.score_examples(
        encoder(4),
        made,
        target,
        num_examples=count // batch * batch,
        sample=options.sample,
    )
    print(json.dumps(pairs.peak_mb()))


def run(options: argparse.Namespace) -> dict[str, list[pairs.Row]]:
    """Returns all rows."""
    rows = [scores(options, beliefs=False), scores(options, beliefs=True)]
    return {"rows": [*rows, memory(options)], "absent": []}


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--images", type=int, default=120_000)
    flags.add_argument("--classes", type=int, default=300)
    flags.add_argument("--targets", type=int, default=80)
    flags.add_argument("--sample", type=int, default=10_000)
    flags.add_argument("--width", type=int, default=8)
    flags.add_argument(
        "--counts", type=int, nargs="+", default=[30_000, 300_000]
    )
    flags.add_argument("--only_score", type=int)
    return flags


if __name__ == "__main__":
    parsed = parser().parse_args()
    if parsed.only_score:
        only_score(parsed.only_score, parsed)
    else:
        print(json.dumps(run(parsed)))
