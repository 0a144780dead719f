"""How many trainings on a source learn nothing. Prints JSON.

python tests/benchmarks/dead_seeds.py --seeds 50 --steps 150

For each source it finds the learning rate once, as the commands do, and then
trains a model for each seed. It counts those that the watch over the stages
would call dead or diverged, and gives the least and the mean accuracy on source
images that were held out. It needs `../shared/data`.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import tf_transfer as tt
from tf_transfer.config import Training
from tf_transfer.errors import DivergedError
from tf_transfer.experiment.stages import health, rates
from tf_transfer.experiment.stages.trainers import Trainer

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"
SOURCES = {
    "cifar100": (32, 3, "pooled", "muon"),
    "glyphs": (12, 1, "flat", "sgd"),
    "emnist_letters": (28, 1, "flat", "sgd"),
}
HELD_OUT = 1_000


def measure(name: str, seeds: int, steps: int) -> dict:
    """Returns the figures of one source."""
    side, channels, form, optimizer = SOURCES[name]
    path = name if name == "glyphs" else f"npz:{DATA / name}.npz"
    source = tt.load(path, side, channels).train_part()
    order = np.random.default_rng(0).permutation(len(source.labels))
    held_out = source.take(order[:HELD_OUT])
    source = source.take(order[HELD_OUT:])
    stage = Training(steps=steps, batch_size=64)
    shape = (side, side, channels)
    model = tt.classifier(tt.small_encoder(shape, 8, form), source.num_classes)
    model.build((None, *shape))
    trainer = Trainer(model, [steps], optimizer)
    found = rates.find(trainer, trainer.state(), source, stage)
    rate = min(found, key=found.get)
    dead, accuracies = 0, []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        fresh = tt.classifier(
            tt.small_encoder(shape, 8, form), source.num_classes
        )
        fresh.build((None, *shape))
        trainer.assign([v.numpy() for v in fresh.variables])
        batches = source.shuffled_batches(64, seed)
        settings = Training(steps=steps, learning_rate=rate)
        try:
            log = trainer.fit(lambda step, b=batches: b, settings).history()
        except DivergedError:
            dead += 1
            continue
        outputs = trainer.logits(held_out.batches())
        trouble = health.trouble(
            log["loss"], outputs[:16], steps, trainer.chance_loss()
        )
        dead += bool(trouble)
        accuracies.append(float((outputs.argmax(1) == held_out.labels).mean()))
    return {
        "rate": rate,
        "seeds": seeds,
        "dead": dead,
        "least": round(min(accuracies, default=0), 3),
        "mean": round(float(np.mean(accuracies)), 3),
        "chance": round(1 / source.num_classes, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--sources", nargs="+", default=list(SOURCES))
    options = parser.parse_args()
    figures = {
        name: measure(name, options.seeds, options.steps)
        for name in options.sources
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
