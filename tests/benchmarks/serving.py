"""The cost of the served signatures over the bare model. Prints JSON.

python tests/benchmarks/serving.py

Measures requests per second and latency in milliseconds: of the signatures of
an exported model, loaded from its files, and of the same work without them.
`model` is Keras' `model(x)` on images as it takes them; `compiled` is that as a
`tf.function` with a softmax; `framed` is framing and `compiled`; `decoded` is
decoding image by image and `framed`. `plain` is `serving_default` of a version
without preprocessing. All run in turn in each round. `ratio` is the median
over rounds of the median time of a signature over that of the same work.
"""

import argparse
import functools
import json
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import tf_transfer as tt

CLASSES = 10
RATIOS = {
    "plain over model": ("plain", "model"),
    "serving_default over model": ("serving_default", "model"),
    "plain over compiled": ("plain", "compiled"),
    "serving_default over framed": ("serving_default", "framed"),
    "serve_bytes over model": ("serve_bytes", "model"),
    "serve_bytes over decoded": ("serve_bytes", "decoded"),
}


def bare(model: keras.Model, frame: tt.Frame) -> dict:
    """Returns functions that do the work of the signatures."""

    @tf.function
    def compiled(images):
        return tf.nn.softmax(model(images, training=False))

    def prepare(images):
        return tf.cast(frame(images), tf.float32) / 255.0

    @tf.function(input_signature=[tf.TensorSpec([None] * 4, tf.float32)])
    def framed(images):
        return tf.nn.softmax(model(prepare(images), training=False))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def decoded(files):
        def decode(file):
            image = tf.io.decode_image(file, expand_animations=False)
            return prepare(image[None])[0]

        shape = tf.TensorSpec(model.input_shape[1:], tf.float32)
        images = tf.map_fn(decode, files, fn_output_signature=shape)
        return tf.nn.softmax(model(images, training=False))

    return {
        "model": lambda images: model(images, training=False),
        "compiled": compiled,
        "framed": framed,
        "decoded": decoded,
    }


def requests(model: keras.Model, raw_side: int, batch: int, folder: str):
    """Returns the functions to time, which take no arguments, by name."""
    side, channels = model.input_shape[1], model.input_shape[3]
    frame = tt.Frame(side, channels, tt.Appearance(255.0))
    plain, framed = (
        tf.saved_model.load(
            str(tt.export_serving(model, folder, None, preprocessing))
        )
        for preprocessing in (None, frame)
    )
    shape = (batch, raw_side, raw_side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    files = tf.stack([tf.io.encode_jpeg(image) for image in pixels])
    raw = tf.constant(pixels, tf.float32)
    prepared = tf.cast(frame(raw), tf.float32) / 255.0
    inputs = {"framed": raw, "decoded": files}
    calls = {
        name: functools.partial(function, inputs.get(name, prepared))
        for name, function in bare(model, frame).items()
    }
    return calls | {
        "plain": lambda: plain.signatures["serving_default"](images=prepared),
        "serving_default": lambda: framed.signatures["serving_default"](
            images=raw
        ),
        "serve_bytes": lambda: framed.signatures["serve_bytes"](
            image_bytes=files
        ),
    }


def measure(calls: dict, rounds: int, count: int) -> dict:
    """Times the calls in turn, `count` of each in a round."""
    seconds = np.zeros((len(calls), rounds, count))
    for call in calls.values():
        for _ in range(3):
            call()
    for i in range(rounds):
        for j in range(count):
            for k, call in enumerate(calls.values()):
                started = time.perf_counter()
                call()
                seconds[k, i, j] = time.perf_counter() - started
    seconds_of = dict(zip(calls, seconds, strict=True))
    medians = {
        name: np.median(times, axis=1) for name, times in seconds_of.items()
    }
    return {
        "ratio": {
            name: round(float(np.median(medians[a] / medians[b])), 3)
            for name, (a, b) in RATIOS.items()
        },
        "requests": {
            name: {
                "per_second": round(1 / times.mean(), 1),
                "p50_ms": round(1e3 * float(np.percentile(times, 50)), 3),
                "p99_ms": round(1e3 * float(np.percentile(times, 99)), 3),
            }
            for name, times in seconds_of.items()
        },
    }


def run(options: argparse.Namespace) -> dict:
    """Returns the figures of every batch size."""
    shape = (options.side, options.side, 3)
    encoder = tt.encoder(options.encoder, shape, options.width)
    model = tt.classifier(encoder, CLASSES)
    model.build((None, *shape))
    figures = {}
    for batch in options.batches:
        with tempfile.TemporaryDirectory() as folder:
            calls = requests(model, options.raw_side, batch, folder)
            figures[f"batch {batch}"] = measure(
                calls, options.rounds, options.count
            )
    return figures


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="small")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--raw_side", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=20)
    print(json.dumps(run(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()
