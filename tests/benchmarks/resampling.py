"""The cost of resampling in a pipeline, and what it saves. Prints JSON.

python tests/benchmarks/resampling.py

Images of 32x32x3 bytes in memory are read as a shuffled stream of batches of
128 and converted to floating point, with and without
`ImportanceWeights.resample`: of the images, of their indices before they are
read, and of single images; also with only the copies that `resample` makes of
batches. There are 10, 1,000 and 18,291 classes of very unequal size and weight.
The same is measured for `ImportanceWeights.draw`, and for JPEG files that are
decoded after the stage. `rejection_resample` is tf.data's own way to the same
class shares. It is slower the larger the largest weight is, which the JSON
contains. `memory` is the peak of a process that resamples labelled records.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.data import shuffling
from tf_transfer.datl import resampling
from tf_transfer.utils.tf_data import quiet

SIDE = 32
LARGEST = 50.0
RECORDS_BATCH = 4096


class Source:
    """Random images of classes with very unequal shares and weights.

    Args:
        count: images.
        classes: the number of classes. Class c has a share proportional to
            1 / (10 + c) in the source, and that of a random class, squared,
            in the target.
        batch: examples per batch.
    """

    def __init__(self, count: int, classes: int, batch: int):
        rng = np.random.default_rng(0)
        share = 1 / (10 + np.arange(classes))
        share /= share.sum()
        self.labels = rng.choice(classes, count, p=share).astype(np.int32)
        self.images = rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
        self.count, self.batch, self.classes = count, batch, classes
        self.prior = tt.source_prior(self.labels, classes)
        self.target = rng.permutation(share) ** 2
        self.target *= self.prior > 0
        self.target /= self.target.sum()
        self.weights = tt.ImportanceWeights(classes, clip=LARGEST)
        self.weights.update(self.target, self.prior)

    def look_up(self, indices: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the images and labels of batches of indices."""
        images, labels = tf.constant(self.images), tf.constant(self.labels)
        return indices.map(
            lambda i: (tf.gather(images, i), tf.gather(labels, i))
        )

    def stream(self) -> tf.data.Dataset:
        """Returns shuffled batches."""
        indices = shuffling.shuffled(self.count, batch_size=self.batch, seed=0)
        return self.look_up(indices)

    def indices(self) -> tf.data.Dataset:
        """Returns shuffled batches of (index, label)."""
        labels = tf.constant(self.labels)
        indices = shuffling.shuffled(self.count, batch_size=self.batch, seed=0)
        return indices.map(lambda i: (i, tf.gather(labels, i)))

    def copied(self) -> tf.data.Dataset:
        """Returns batches copied as `resample` copies them, without a choice.

        It forms blocks of batches, gathers their examples, and rebatches.
        """
        size = 8 * self.batch
        mixed = tf.random.shuffle(tf.range(size), seed=0)

        def gather(*block):
            return tuple(tf.gather(resampling._joined(x), mixed) for x in block)

        blocks = resampling._blocks(self.stream(), self.batch, size)
        chosen = blocks.map(gather, num_parallel_calls=2)
        return chosen.rebatch(self.batch, drop_remainder=True)

    def singles(self) -> tf.data.Dataset:
        """Returns shuffled single examples."""
        arrays = (self.images, self.labels)
        dataset = tf.data.Dataset.from_tensor_slices(arrays)
        return dataset.shuffle(self.count, seed=0).repeat()

    def rejected(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Resamples single examples with tf.data's own transformation."""
        shares = self.weights.numpy() * self.prior
        chosen = dataset.rejection_resample(
            lambda image, label: label,
            target_dist=(shares / shares.sum()).astype(np.float32),
            initial_dist=self.prior.astype(np.float32),
            seed=0,
        )
        return chosen.map(lambda _, example: example)


def to_unit(image: tf.Tensor, label: tf.Tensor):
    """Converts images to floating point."""
    return tf.cast(image, tf.float32) / 255.0, label


def ready(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Converts images to floating point, two batches ahead."""
    return quiet(dataset.map(to_unit, num_parallel_calls=2).prefetch(2))


def reader(dataset: tf.data.Dataset, examples: int) -> Callable[[], None]:
    """Returns a function that reads the next examples."""
    iterator = iter(dataset)

    def read():
        count = 0
        while count < examples:
            count += int(next(iterator)[1].shape[0])

    return read


def streaming(options: argparse.Namespace) -> list[pairs.Row]:
    """The stages for many classes, against the same pipeline without them."""
    rows = []
    for classes in options.classes:
        source = Source(options.count, classes, options.batch)
        weights = source.weights
        single = source.singles()
        pipelines = {
            "plain": source.stream(),
            "resample": weights.resample(source.stream(), seed=0),
            "copies of resample alone": source.copied(),
            "resample before reading": source.look_up(
                weights.resample(source.indices(), seed=0).map(
                    lambda index, label: index
                )
            ),
            "draw": source.look_up(
                weights.draw(source.labels, batch_size=options.batch, seed=0)
            ),
            "single": single.batch(options.batch),
            "resample single": weights.resample(single, seed=0).batch(
                options.batch
            ),
        }
        seconds = pairs.in_turn(
            {
                name: reader(ready(pipeline), options.examples)
                for name, pipeline in pipelines.items()
            },
            options.rounds,
        )
        for what, other, least in (
            ("resample", "plain", 0.9),
            ("copies of resample alone", "plain", None),
            ("resample before reading", "plain", 0.9),
            ("draw", "plain", 0.95),
            ("resample single", "single", 0.9),
        ):
            rows.append(
                pairs.row(
                    f"{what}, {classes} classes: examples/s",
                    "the same pipeline without it",
                    seconds[other] / seconds[what],
                    least=least,
                    per_second=round(
                        options.examples / float(np.median(seconds[what]))
                    ),
                )
            )
    return rows


def against_rejection(options: argparse.Namespace) -> pairs.Row:
    """The streaming stage against tf.data's; nothing is read ahead."""
    source = Source(options.count, options.skewed, options.batch)
    ours = source.weights.resample(source.stream(), seed=0)
    theirs = source.rejected(source.singles()).batch(options.batch)
    seconds = pairs.in_turn(
        {
            "ours": reader(quiet(ours.map(to_unit)), 100 * options.rejected),
            "theirs": reader(quiet(theirs.map(to_unit)), options.rejected),
        },
        options.rounds,
    )
    return pairs.row(
        f"resample, {source.classes} classes: examples/s",
        "tf.data.Dataset.rejection_resample",
        100 * seconds["theirs"] / seconds["ours"],
        least=100,
        largest_weight=pairs.rounded(source.weights.numpy().max()),
    )


def before_decoding(options: argparse.Namespace) -> list[pairs.Row]:
    """JPEG files resampled and then decoded, against the reverse order."""
    source = Source(options.files, options.skewed, options.batch)
    shape = (options.side, options.side, 3)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 8, 8, 3)).astype(np.float32)
    smooth = tf.cast(tf.image.resize(small, shape[:2]), tf.uint8)
    encoded = [tf.io.encode_jpeg(image).numpy() for image in smooth]
    files = np.array([encoded[i % 8] for i in range(options.files)])
    decoded = []

    def decode(file, label):
        image = tf.io.decode_jpeg(file, channels=3)
        return tf.ensure_shape(image, shape), label

    def counted(file, label):
        tf.numpy_function(lambda: decoded.append(1), [], [], stateful=True)
        return decode(file, label)

    def batched(dataset):
        return quiet(dataset.batch(options.batch).map(to_unit))

    once = tf.data.Dataset.from_tensor_slices((files, source.labels))
    stream = once.shuffle(options.files, seed=0).repeat()
    ours = source.weights.resample(stream, seed=0)
    theirs = stream.map(decode, num_parallel_calls=2)
    seconds = pairs.in_turn(
        {
            "ours": reader(
                batched(ours.map(decode, num_parallel_calls=2)),
                20 * options.rejected,
            ),
            "theirs": reader(
                batched(source.rejected(theirs)), options.rejected
            ),
        },
        options.rounds,
    )
    chosen = tt.resample(once, source.weights.values, seed=0)
    emitted = sum(len(labels) for _, labels in batched(chosen.map(counted)))
    return [
        pairs.row(
            "resample before decoding: examples/s",
            "decode, then rejection_resample",
            20 * seconds["theirs"] / seconds["ours"],
            least=50,
            largest_weight=pairs.rounded(source.weights.numpy().max()),
        ),
        pairs.row(
            "resample before decoding: images decoded",
            "images emitted",
            len(decoded) / emitted,
            most=1.0,
        ),
    ]


def pass_over(records: int, classes: int) -> None:
    """Resamples records that consist of a number and a label."""
    share = 1 / (10 + np.arange(classes))
    reached = tf.constant(np.cumsum(share) / share.sum(), tf.float32)
    size = min(RECORDS_BATCH, records)

    def labelled(position):
        draws = tf.random.stateless_uniform([size], [0, position])
        labels = tf.searchsorted(reached, draws, side="right")
        number = position * size + tf.range(size, dtype=tf.int64)
        return number, tf.minimum(labels, classes - 1)

    source = tf.data.Dataset.range(records // size).map(labelled)
    weights = tt.ImportanceWeights(classes, clip=LARGEST)
    target = np.random.default_rng(0).permutation(share)
    weights.update(target / target.sum(), share / share.sum())
    stage = weights.resample(source, seed=0).take(records // size)
    for _ in quiet(stage):
        pass
    print(json.dumps(pairs.peak_mb()))


def memory(options: argparse.Namespace) -> pairs.Row:
    """The peak memory of processes that resample few and many records."""
    peaks = {}
    for records in options.records:
        command = [sys.executable, __file__, f"--pass_over={records}"]
        command.append(f"--pass_classes={options.classes[-1]}")
        output = subprocess.check_output(command, stderr=subprocess.DEVNULL)
        peaks[records] = json.loads(output)
    first, last = options.records[0], options.records[-1]
    return pairs.row(
        f"resample: peak of memory, {last:,} records",
        f"{first:,} records",
        peaks[last] / peaks[first],
        most=1.05,
        peak_mb=peaks,
    )


def run(options: argparse.Namespace) -> dict[str, list[pairs.Row]]:
    """Returns all rows."""
    return {
        "rows": [
            *streaming(options),
            against_rejection(options),
            *before_decoding(options),
            memory(options),
        ]
    }


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=9)
    flags.add_argument("--count", type=int, default=20_000)
    flags.add_argument("--batch", type=int, default=128)
    flags.add_argument("--examples", type=int, default=81_920)
    flags.add_argument("--rejected", type=int, default=128)
    flags.add_argument("--skewed", type=int, default=1_000)
    flags.add_argument("--files", type=int, default=5_000)
    flags.add_argument("--side", type=int, default=64)
    flags.add_argument(
        "--classes", type=int, nargs="+", default=[10, 1_000, 18_291]
    )
    flags.add_argument(
        "--records", type=int, nargs="+", default=[10_000, 10_000_000]
    )
    flags.add_argument("--pass_over", type=int, help=argparse.SUPPRESS)
    flags.add_argument("--pass_classes", type=int, help=argparse.SUPPRESS)
    return flags


def main() -> None:
    """Prints the rows."""
    options = parser().parse_args()
    if options.pass_over:
        pass_over(options.pass_over, options.pass_classes)
    else:
        print(json.dumps(run(options), indent=1))


if __name__ == "__main__":
    main()
