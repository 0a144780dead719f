"""Which augmentation and which optimizer train best. Prints JSON.

python tests/benchmarks/recipes.py --out=FOLDER

For two pairs of data sets, each recipe trains a model on the source and
fine-tunes it on 20 labelled target images of each class. The score is the
accuracy on 100 other images of each class of the target's training part: no
test image is looked at. Ten recipes of five seeds take about forty minutes on
two cores, and need `../shared/data`. A second call goes on.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import scipy.stats

import tf_transfer as tt
from tf_transfer.config import Data, Encoder, Experiment, FineTuning, Training
from tf_transfer.experiment.records import results
from tf_transfer.utils.storage.folders import Folder

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"
PAIRS = {
    "cifar100_to_cifar10": ("cifar100", "cifar10"),
    "mnist_to_mnist_m": ("mnist", "mnist_m"),
}
RECIPES = {
    "muon": ("muon", "none"),
    "muon, flip_crop": ("muon", "flip_crop"),
    "muon, randaugment": ("muon", "randaugment"),
    "sgd": ("sgd", "none"),
    "adamw": ("adamw", "none"),
}
TRAINED, JUDGED = 20, 100


def experiment(pair: str, recipe: str, seeds: int, steps: int) -> Experiment:
    """Returns the experiment of one recipe."""
    source, target = (f"npz:{DATA}/{name}.npz" for name in PAIRS[pair])
    optimizer, augment = RECIPES[recipe]
    return Experiment(
        data=Data(
            source=source,
            target=target,
            image_size=32 if pair.startswith("cifar") else 28,
            channels=3,
            augment=augment,
            labels_per_class=TRAINED + JUDGED,
            validation_per_class=JUDGED,
        ),
        encoder=Encoder(width=16, form="pooled"),
        optimizer=optimizer,
        generalist=Training(steps=steps, batch_size=64),
        pretraining=Training(steps=max(1, steps // 10), batch_size=64),
        finetuning=FineTuning(steps=max(1, steps // 4), batch_size=32),
        methods=("finetune_related",),
        seeds=seeds,
    )


def measure(pair: str, recipe: str, out: pathlib.Path, options) -> dict:
    """Returns the row of one recipe."""
    folder = out / f"{pair}-{recipe.replace(', ', '-')}"
    config = experiment(pair, recipe, options.seeds, options.steps)
    tt.compare(config, folder, quiet=True, jobs=options.jobs)
    scores = [
        100 * result.validation.accuracy
        for result in results.read(Folder(folder))
    ]
    half = np.nan
    if len(scores) > 1:
        half = scipy.stats.sem(scores)
        half *= scipy.stats.t.ppf(0.975, len(scores) - 1)
    return {
        "pair": pair,
        "recipe": recipe,
        "accuracy": round(float(np.mean(scores)), 2),
        "interval": round(float(half), 2) if len(scores) > 1 else None,
        "seeds": [round(score, 2) for score in scores],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", nargs="+", default=PAIRS, choices=PAIRS)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    rows = [
        measure(pair, recipe, options.out, options)
        for pair in options.pairs
        for recipe in options.recipes
    ]
    print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
