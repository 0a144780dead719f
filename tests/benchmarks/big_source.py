"""What a source larger than memory costs. Prints JSON.

python tests/benchmarks/big_source.py --images 120000 1200000

The source is made by this script, once, in `--folder`: JPEG images of 32x32
pixels in TFRecord files, of 1,000 classes that differ by colours and shapes.
For each size it runs, each as a process of its own: `weights` twice, of which
the first makes the store, and `compare` with two jobs, with the embedded digits
as the target. Beside them it measures

* the peak memory of all processes of a command together: what is their own,
  and what they share, counted once (`Pss` of Linux)
* the images/s of making the store, against a loop over `tf.data` that parses
  and decodes the same records
* the seconds from the start of the second command to its first training step
* training steps with images from the store and from memory, in turn
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pairs
import tensorflow as tf

import tf_transfer as tt
from tf_transfer.data import loading

CLASSES, SIDE, SHARD = 1_000, 32, 60_000
_MOST_IN_MEMORY = 200_000  # images
SETTINGS = [
    "--config.data.target=digits",
    "--config.data.image_size=32",
    "--config.data.channels=3",
    "--config.data.labels_per_class=10",
    "--config.generalist.steps=100",
    "--config.pretraining.steps=100",
    "--config.finetuning.steps=20",
    "--config.l2tl.steps=50",
    "--config.seeds=2",
    "--config.data.memory_share=0",
]
SPEC = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}


def picture(rng: np.random.Generator, label: int) -> np.ndarray:
    """Returns an image of a class: a noisy bar of its colour and slope."""
    rows, columns = (
        np.indices((SIDE, SIDE)) - SIDE / 2 + rng.normal(0, 3, 2)[:, None, None]
    )
    angle = np.pi * (label % 10) / 10
    bar = abs(rows * np.cos(angle) + columns * np.sin(angle)) < 4
    colour = np.array([label // 100, label // 10 % 10, 5]) * 25
    image = np.where(bar[..., None], colour, 255 - colour)
    return np.clip(image + rng.normal(0, 20, image.shape), 0, 255).astype(
        np.uint8
    )


def make(folder: pathlib.Path, count: int) -> str:
    """Writes the source unless it is there; returns its name."""
    place = folder / str(count)
    place.mkdir(parents=True, exist_ok=True)
    # Of each class a hundred different images, in random order.
    rng = np.random.default_rng(0)
    files = []
    for number, first in enumerate(range(0, count, SHARD)):
        path = place / f"{number:03}.tfrecord"
        if path.exists():
            continue
        files = files or [
            (label, tf.io.encode_jpeg(picture(rng, label)).numpy())
            for label in range(CLASSES)
            for _ in range(100)
        ]
        order = np.random.default_rng(number)
        partial = path.with_suffix(".partial")
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for i in order.integers(0, len(files), min(SHARD, count - first)):
                label, content = files[i]
                writer.write(record(label, content))
        partial.rename(path)
    return f"tfrecord:{place}/*.tfrecord"


def record(label: int, content: bytes) -> bytes:
    features = {
        "image/encoded": tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[content])
        ),
        "image/class/label": tf.train.Feature(
            int64_list=tf.train.Int64List(value=[label])
        ),
    }
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()


def memory_of(root: int) -> float:
    """Returns the bytes of a process and its descendants, in proportion."""
    children: dict[int, list[int]] = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            words = status.read_text().rpartition(")")[2].split()
            children.setdefault(int(words[1]), []).append(int(status.parts[2]))
        except OSError:
            continue
    total, waiting = 0, [root]
    while waiting:
        process = waiting.pop()
        waiting += children.get(process, [])
        try:
            text = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        (line,) = [each for each in text.splitlines() if each[:4] == "Pss:"]
        total += 1024 * int(line.split()[1])
    return total


def run(command: str, name: str, out: pathlib.Path, *flags: str) -> dict:
    """Runs a command; returns seconds, the first step's, and peak memory."""
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", "tf_transfer.cli", command]
    words += [f"--config.data.source={name}", f"--out={out}", *SETTINGS, *flags]
    started, peak, times = time.perf_counter(), 0, {}
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as child:

        def read():
            for line in child.stderr:
                now = time.perf_counter() - started
                for mark in ("learning rate,", "storing", "[  0%] generalist"):
                    if mark in line:
                        times.setdefault(mark, now)
                        times[f"last {mark}"] = now

        reader = threading.Thread(target=read)
        reader.start()
        while child.poll() is None:
            peak = max(peak, memory_of(child.pid))
            time.sleep(0.2)
        reader.join()
    if child.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {child.returncode}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "first_step": round(times["learning rate,"], 1),
        "gigabytes": round(peak / 2**30, 3),
    }


def decoding(name: str, count: int, place: pathlib.Path) -> dict:
    """Returns the images/s of the store and of a bare loop."""
    paths = sorted(map(str, pathlib.Path(name[9:]).parent.glob("*.tfrecord")))
    dataset = (
        tf.data.TFRecordDataset(paths)
        .take(count)
        .map(
            lambda each: tf.io.decode_jpeg(
                tf.io.parse_single_example(each, SPEC)["image/encoded"], 3
            ),
            tf.data.AUTOTUNE,
        )
        .batch(512)
        .prefetch(2)
    )
    started = time.perf_counter()
    for _ in dataset:
        pass
    bare = time.perf_counter() - started
    shutil.rmtree(place, ignore_errors=True)
    started = time.perf_counter()
    loading.load(name, SIDE, 3, memory_share=0, cache=str(place))
    stored = time.perf_counter() - started
    return {"bare": round(count / bare), "stored": round(count / stored)}


def steps(name: str, place: pathlib.Path, rounds: int) -> list[float]:
    """Returns ratios of the images/s from the store and from memory."""
    disk, memory = (
        loading.load(name, SIDE, 3, memory_share=share, cache=str(place))
        for share in (0, 1)
    )
    model = tt.classifier(tt.small_encoder((SIDE, SIDE, 3), 8, "pooled"), 1_000)
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=10,
    )
    ratios = []
    for seed in range(rounds + 1):  # the first is for tracing and the cache
        seconds = {}
        for kind in ((disk, memory), (memory, disk))[seed % 2]:
            batches = kind.shuffled_batches(64, seed)
            started = time.perf_counter()
            model.fit(batches, steps_per_epoch=500, verbose=0, shuffle=False)
            seconds[kind is disk] = time.perf_counter() - started
        ratios.append(seconds[False] / seconds[True])
    return ratios[1:]


def step_row(ratios: list[float]) -> dict:
    what = "training steps from the store: images/s"
    return pairs.row(what, "from memory", ratios, least=0.95)


def rows_of(figures: dict[int, dict]) -> list[dict]:
    """Returns the rows of all sizes, and those that compare the sizes."""
    rows = []
    for count, each in figures.items():
        size = f"{count:,} images"
        speed = each["decoding"]
        rows += [
            pairs.row(
                f"making the store, {size}: images/s",
                "a bare loop that decodes them",
                speed["stored"] / speed["bare"],
                least=0.5,
            ),
            pairs.row(
                f"second `weights`, {size}: start to first step",
                "one second",
                each["again"]["first_step"],
                most=20,
            ),
            *(
                pairs.row(
                    f"memory of `{name}`, {size}",
                    "one GiB",
                    each[name]["gigabytes"],
                    most=2.5,
                )
                for name in ("weights", "compare")
            ),
        ]
    low, high = min(figures), max(figures)
    if low < high:
        rows += [
            pairs.row(
                f"memory of `{name}`, {high:,} images",
                f"{low:,} images",
                figures[high][name]["gigabytes"]
                / figures[low][name]["gigabytes"],
                most=1.05,
            )
            for name in ("weights", "compare")
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=int, nargs="+", default=[120_000])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cache = options.folder / "cache"
    os.environ["TF_TRANSFER_CACHE"] = str(cache)
    figures, ratios = {}, None
    for count in options.images:
        name = make(options.folder, count)
        speed = decoding(name, count, cache)
        shutil.rmtree(cache, ignore_errors=True)
        out = options.folder / "run"
        figures[count] = {
            "decoding": speed,
            "weights": run("weights", name, out),
            "again": run("weights", name, out),
            "compare": run("compare", name, out, "--jobs=2"),
        }
        if count <= _MOST_IN_MEMORY and ratios is None:
            ratios = steps(name, cache, options.rounds)
    rows = [] if ratios is None else [step_row(ratios)]
    rows += rows_of(figures)
    print(json.dumps({"rows": rows, "by_images": figures}, indent=1))


if __name__ == "__main__":
    main()
