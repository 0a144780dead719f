"""Memory of estimation and resampling at the size of JFT. Prints JSON.

python tests/benchmarks/scale.py

10 million records of 18,291 source classes of very unequal size, labels
without pixels, are counted, weighted by P_t / P_s and resampled as a stream.
`growth_mb` is how much the process grew from the first tenth of each pass to
its end. `share_error` is the total variation between the class shares of the
resampled stream and the expected ones; `sampling_error` is that of as many
independent draws. It takes a few minutes on two cores.
"""

import argparse
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import psutil
import tensorflow as tf

import tf_transfer as tt

BATCH = 4096
FEATURES = 16
TARGETS = 20_000


class Memory:
    """The growth of this process after a tenth of a pass, in MB."""

    def __init__(self, total: int):
        self.start_at = total // 10
        self.first = None
        self.most = 0.0

    def look(self, done: int) -> None:
        used = psutil.Process().memory_info().rss / 2**20
        if done >= self.start_at and self.first is None:
            self.first = used
        self.most = max(self.most, used)

    def growth(self) -> float:
        return round(self.most - self.first, 1)


def source(records: int, classes: int) -> tf.data.Dataset:
    """Batches of record numbers and labels; class c has a share of ~ 1 / c."""
    mass = 1 / (10 + np.arange(classes))
    reached = tf.constant(np.cumsum(mass) / mass.sum(), tf.float32)

    def label(position):
        draws = tf.random.stateless_uniform([BATCH], [0, position])
        labels = tf.searchsorted(reached, draws, side="right")
        number = position * BATCH + tf.range(BATCH, dtype=tf.int64)
        return number, tf.minimum(labels, classes - 1)

    return tf.data.Dataset.range(records // BATCH).map(label).prefetch(2)


def watched(dataset: tf.data.Dataset, memory: Memory):
    """Yields the elements and records the memory of the process."""
    for done, element in enumerate(dataset):
        memory.look(done)
        yield element


def estimate(classes: int, prior: np.ndarray, memory: Memory) -> np.ndarray:
    """Returns P_t of random images by a random model of all classes."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((FEATURES,)), keras.layers.Dense(classes)]
    )
    kernel, bias = model.get_weights()
    model.set_weights([2 * kernel * FEATURES**0.5, bias])

    def images(position):
        memory.look(int(position))
        rng = np.random.default_rng(int(position))
        return rng.normal(size=(100, FEATURES)).astype(np.float32)

    batches = tf.data.Dataset.range(TARGETS // 100).map(
        lambda i: tf.ensure_shape(
            tf.numpy_function(images, [i], tf.float32), (100, FEATURES)
        )
    )
    return tt.estimate_target_prior(model, batches, prior, bootstrap=0).prior


def run(records: int, classes: int) -> dict:
    """Returns seconds, growth and errors of every pass."""
    dataset = source(records, classes)
    figures = {"records": records, "classes": classes}
    batches = records // BATCH
    started = time.monotonic()
    memory = Memory(batches)
    counts = np.zeros(classes)
    for _, labels in watched(dataset, memory):
        counts += np.bincount(labels, minlength=classes)
    prior = counts / counts.sum()
    counted = tt.count_source_prior(dataset.take(50), classes)
    assert abs(counted.sum() - 1) < 1e-9
    figures["count"] = {
        "seconds": round(time.monotonic() - started, 1),
        "growth_mb": memory.growth(),
    }

    started, memory = time.monotonic(), Memory(TARGETS // 100)
    target_prior = estimate(classes, prior, memory)
    figures["estimate"] = {
        "seconds": round(time.monotonic() - started, 1),
        "growth_mb": memory.growth(),
    }

    started, memory = time.monotonic(), Memory(batches)
    weights = tt.ImportanceWeights(classes, clip=50.0)
    weights.update(target_prior, prior)
    stream = weights.resample(dataset, seed=0).take(batches)
    drawn = np.zeros(classes)
    for _, labels in watched(stream, memory):
        drawn += np.bincount(labels, minlength=classes)
    shares = prior * weights.numpy()
    shares /= shares.sum()
    total = int(drawn.sum())
    ideal = np.random.default_rng(0).multinomial(total, shares) / total
    figures["resample"] = {
        "seconds": round(time.monotonic() - started, 1),
        "growth_mb": memory.growth(),
        "share_error": variation(drawn / total, shares),
        "sampling_error": variation(ideal, shares),
    }
    return figures


def variation(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the total variation distance of two distributions."""
    return round(float(np.abs(one - other).sum() / 2), 5)


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--classes", type=int, default=18_291)
    options = parser.parse_args()
    print(json.dumps(run(options.records, options.classes), indent=1))


if __name__ == "__main__":
    main()
