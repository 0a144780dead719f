"""Images/s of photographs that are decoded as they are needed. Prints JSON.

The photographs, JPEG files of 500x375 pixels or of many sizes, are made by this
script. They are read in random order and framed to 224x224, in batches. Against
this stand pipelines that a user would write with tf.data: read, decode, resize.
One scales with `antialias=True`, as the package does, and one without, which
skips three of five pixels. One row puts `resample` before the decoding. The
last is DATL's estimate from a given generalist, against a bare `predict`.
"""

import argparse
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.data import loading, shuffling

SIDE, CLASSES = 224, 10


def make(folder: pathlib.Path, count: int, many_sizes: bool) -> None:
    """Writes photographs: blurred noise with a little sharp noise."""
    rng = np.random.default_rng(0)
    for i in range(count):
        size = rng.integers(240, 720, 2) if many_sizes else (375, 500)
        blurred = tf.image.resize(
            rng.integers(0, 256, (24, 32, 3)), size, "bicubic"
        )
        image = blurred.numpy() + rng.normal(0, 8, (*size, 3))
        content = tf.io.encode_jpeg(
            np.clip(image, 0, 255).astype(np.uint8), quality=90
        )
        file = folder / f"class {i % CLASSES}" / f"{i}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content.numpy())


def by_hand(paths, labels, batch: int, antialias: bool) -> tf.data.Dataset:
    def read(path, label):
        image = tf.io.decode_jpeg(tf.io.read_file(path), 3)
        image = tf.image.resize(image, (SIDE, SIDE), antialias=antialias)
        return image / 255.0, label

    return (
        tf.data.Dataset.from_tensor_slices((paths, labels))
        .shuffle(len(paths), seed=0)
        .repeat()
        .map(read, tf.data.AUTOTUNE)
        .batch(batch)
        .prefetch(tf.data.AUTOTUNE)
    )


def whole(data, batch: int) -> tf.data.Dataset:
    return data.shuffled_batches(batch, seed=0)


def resampled(data, batch: int) -> tf.data.Dataset:
    """The same images, drawn by unequal weights before they are decoded."""
    weights = tt.ImportanceWeights(CLASSES)
    target = np.linspace(0.5, 1.5, CLASSES) / CLASSES
    weights.update(target, data.prior)
    labels = tf.constant(data.labels)
    indices = shuffling.shuffled(len(data.labels), batch_size=batch, seed=0)
    labelled = indices.map(lambda i: (i, tf.gather(labels, i)))
    drawn = weights.resample(labelled, seed=0).map(lambda i, label: i)
    return data.gather(drawn)


def taking(dataset: tf.data.Dataset, batches: int):
    """Returns a function that reads some batches of a running pipeline."""
    iterator = iter(dataset)
    for _ in range(4):  # until all stages are at work
        next(iterator)

    def take():
        for _ in range(batches):
            next(iterator)

    return take


COMPARED = (
    ("ours", "antialiased", "tf.data with antialias"),
    ("ours", "plain", "tf.data without antialias"),
    ("resampled", "ours", "without `resample`"),
)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=9)
    return parser


def run(options: argparse.Namespace) -> dict:
    rows = []
    for many_sizes in (False, True):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            make(folder, options.photographs, many_sizes)
            rows += rows_of(folder, many_sizes, options)
    return {"rows": rows}


def rows_of(folder: pathlib.Path, many_sizes: bool, options) -> list[pairs.Row]:
    """Returns the rows of one folder."""
    data = loading.load(f"folder:{folder}", SIDE, 3, decode="as_needed")
    paths = sorted(map(str, folder.rglob("*.jpg")))
    labels = np.zeros(len(paths), np.int32)
    batch = options.batch
    pipelines = {
        "ours": whole(data, batch),
        "resampled": resampled(data, batch),
        "antialiased": by_hand(paths, labels, batch, True),
        "plain": by_hand(paths, labels, batch, False),
    }
    if many_sizes:
        return [
            row(pipelines, *each, "photographs of many sizes", 0.8, options)
            for each in COMPARED[:2]
        ]
    what = "photographs decoded as needed"
    goals = (0.95, 0.95, 0.97)
    rows = [
        row(pipelines, *each, what, goal, options)
        for each, goal in zip(COMPARED, goals, strict=True)
    ]
    bare = by_hand(paths, labels, batch, True)
    bare = bare.take(-(-len(paths) // batch))
    return [*rows, estimate(data, bare, options)]


def row(pipelines, one: str, other: str, against: str, what, least, options):
    functions = {
        name: taking(pipelines[name], options.batches) for name in (one, other)
    }
    seconds = pairs.in_turn(functions, options.rounds)
    images = options.batch * options.batches
    first = "`resample` before " if one == "resampled" else ""
    return pairs.row(
        f"{first}{what}: images/s",
        against,
        seconds[other] / seconds[one],
        least=least,
        images_per_second=pairs.rounded(images / np.median(seconds[one])),
    )


def estimate(data, bare: tf.data.Dataset, options) -> pairs.Row:
    """DATL's estimate from a given generalist, decoding included."""
    encoder = tt.small_encoder((SIDE, SIDE, 3), width=4)
    generalist = tt.classifier(encoder, CLASSES)
    functions = {
        "ours": lambda: tt.estimate_target_prior(
            generalist, data.batches(options.batch), data.prior
        ),
        "bare": lambda: generalist.predict(bare, verbose=0),
    }
    seconds = pairs.in_turn(functions, options.rounds)
    return pairs.row(
        f"DATL's weights from a given generalist, {len(data.labels):,} "
        "photographs",
        "`predict`, with decoding",
        seconds["ours"] / seconds["bare"],
        most=1.05,
    )


if __name__ == "__main__":
    print(json.dumps(run(parser().parse_args()), indent=1))
