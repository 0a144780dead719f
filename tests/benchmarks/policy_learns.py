"""Does L2TL's policy find the useful source classes? Prints JSON.

python tests/benchmarks/policy_learns.py

The source has 10 classes of MNIST digits, 10 classes of MNIST and
Fashion-MNIST images with random labels, and 10 classes of Fashion-MNIST, with
6,000 images in each group. The target is USPS digits, with 5 training and 5
validation images a class. Training starts from random weights. The figure is
the area under the ROC curve with which the expected class weights separate the
10 digit classes from the other 20, and from each group of 10.

The settings of the feature credit were chosen on seeds 0 to 3; the seeds here
start at 100. It takes about six minutes on two cores, and needs
`../shared/data`.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

import tf_transfer as tt
from tf_transfer.data import image_data, shuffling, splits
from tf_transfer.experiment import statistics
from tf_transfer.utils import tf_data

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"
SIZE = 16
GROUP = 6000
STEPS = 1500
BATCH = 64
FIRST_SEED = 100


def load(name: str) -> tt.ImageData:
    """Returns a framed data set of the shared folder."""
    return tt.load(f"npz:{SHARED / name}.npz", SIZE, channels=1)


def mixture(mnist, fashion, seed: int) -> tt.ImageData:
    """Returns the source: digits, random labels, clothes."""
    rng = np.random.default_rng(seed)
    digits, clothes = (
        part.take(rng.permutation(len(part.labels)))
        for part in (mnist.train_part(), fashion.train_part())
    )
    half = slice(GROUP, GROUP + GROUP // 2)
    groups = (
        (digits.images[:GROUP], digits.labels[:GROUP]),
        (
            np.concatenate([digits.images[half], clothes.images[half]]),
            rng.integers(0, 10, GROUP, dtype=np.int32),
        ),
        (clothes.images[:GROUP], clothes.labels[:GROUP]),
    )
    names = ("digit", "random", "clothing")
    return image_data.join(
        [
            tt.ImageData(images, labels, [f"{name} {c}" for c in range(10)])
            for name, (images, labels) in zip(names, groups, strict=True)
        ]
    )


def batches(images: tt.ImageData, seed: int):
    """Returns infinite shuffled batches."""
    indices = shuffling.shuffled(
        len(images.labels), batch_size=BATCH, seed=seed
    )
    return images.gather(indices)


def train(source, split, credit: str, seed: int) -> dict:
    """Trains L2TL once and returns the areas and the test accuracy."""
    keras.utils.set_random_seed(seed)
    encoder = tt.small_encoder(source.images.shape[1:], width=8)
    frozen = credit == "frozen"
    model = tt.L2TL(
        encoder,
        source.num_classes,
        split.train.num_classes,
        policy=tt.WeightPolicy(source.num_classes, seed=seed),
        credit="reinforce" if frozen else credit,
    )
    model.compile(
        keras.optimizers.SGD(
            0.02, momentum=0.9, nesterov=True, weight_decay=5e-4
        ),
        keras.optimizers.Adam(0.0 if frozen else 0.01),
        metrics=["accuracy"],
    )
    streams = tt.streams(
        batches(source, seed),
        batches(split.train, seed),
        split.validation.batches(len(split.validation.labels)),
    )
    started = time.monotonic()
    model.fit(
        tf_data.quiet(streams),
        steps_per_epoch=STEPS,
        verbose=0,
        shuffle=False,
    )
    seconds = time.monotonic() - started
    expected = model.importance_weights()
    logs = model.evaluate(split.test.batches(500), verbose=0, return_dict=True)
    useful = np.arange(source.num_classes) < 10
    against = {"all": slice(None), "random": slice(0, 20)}
    areas = {
        name: roc_auc_score(useful[part], expected[part])
        for name, part in against.items()
    }
    clothes = np.r_[0:10, 20:30]
    areas["clothing"] = roc_auc_score(useful[clothes], expected[clothes])
    return {
        "area": {name: round(float(a), 3) for name, a in areas.items()},
        "mean_weight": expected.reshape(3, 10).mean(axis=1).round(2).tolist(),
        "scale": round(float(model.policy.expected_scale()), 2),
        "test_accuracy": round(logs["accuracy"], 4),
        "seconds": round(seconds, 1),
    }


def summary(results: dict, runs: dict[str, dict]) -> dict:
    """Returns means over the seeds of one credit, with 95 % intervals.

    `gain`: in test accuracy over the frozen policy, by seed.
    """
    frozen = runs.get("frozen", {})
    figures = {
        "area": [run["area"]["all"] for run in results.values()],
        "test_accuracy": [run["test_accuracy"] for run in results.values()],
        "gain": [
            results[seed]["test_accuracy"] - run["test_accuracy"]
            for seed, run in frozen.items()
        ],
    }
    return {k: statistics.mean_interval(v) for k, v in figures.items() if v}


def main() -> None:
    """Runs every credit on every seed and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first_seed", type=int, default=FIRST_SEED)
    parser.add_argument(
        "--credits",
        nargs="*",
        default=["feature", "gradient", "reinforce", "frozen"],
    )
    options = parser.parse_args()
    mnist, fashion = load("mnist"), load("fashion_mnist")
    usps = load("usps")
    runs: dict[str, dict] = {name: {} for name in options.credits}
    first = options.first_seed
    for seed in range(first, first + options.seeds):
        source = mixture(mnist, fashion, seed)
        split = splits.split_target(usps, 10, 5, seed)
        for credit, results in runs.items():
            results[seed] = train(source, split, credit, seed)
    means = {name: summary(results, runs) for name, results in runs.items()}
    whole = {"steps": STEPS, "mean": means, "credits": runs}
    print(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
