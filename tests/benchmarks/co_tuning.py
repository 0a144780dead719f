"""What co-tuning gains over fine-tuning with a related head. Prints JSON.

python tests/benchmarks/co_tuning.py --pair=cifar100_to_cifar10
python tests/benchmarks/co_tuning.py --published=glyphs_to_digits

Co-tuning with several weights of the source head's loss, on the pairs of
`recipes.py`: 20 labelled images of each class train, 100 others of the target's
training part judge. No test image is looked at. Five seeds take ten minutes on
two cores.

`--published` takes a comparison of `configs` instead, with its own seeds and
the default weight, and judges co-tuning and its control by the test images.

Both need `../shared/data`; run them from the project's root.
"""

import argparse
import json
import os
import pathlib
import runpy

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import numpy as np
import recipes

import tf_transfer as tt
from tf_transfer.experiment import statistics
from tf_transfer.experiment.methods.baselines import finetune_related
from tf_transfer.experiment.methods.co_tuning import (
    co_tuning,
    co_tuning_shuffled,
)
from tf_transfer.experiment.records import results
from tf_transfer.utils.storage.folders import Folder

STEPS = 800  # of the generalist


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__)
    kind = flags.add_mutually_exclusive_group(required=True)
    kind.add_argument("--pair", choices=recipes.PAIRS)
    kind.add_argument("--published")
    flags.add_argument("--weights", type=float, nargs="+")
    flags.add_argument("--seeds", type=int, default=5)
    flags.add_argument("--jobs", type=int, default=1)
    flags.add_argument("--out", type=pathlib.Path, default="runs/co_tuning")
    flags.set_defaults(weights=[0.1, 0.3, 1.0, 3.0])
    return flags


def experiment(options: argparse.Namespace, weight: float):
    """Returns the experiment with one weight of the source head's loss."""
    config = recipes.experiment(
        options.pair, "muon, flip_crop", options.seeds, STEPS
    )
    config.methods = (finetune_related.name, co_tuning.name)
    config.finetuning.head = "related"
    config.finetuning.source_loss = weight
    return config


def published(options: argparse.Namespace) -> dict:
    """Returns accuracies and gains on the test images of a published pair."""
    made = runpy.run_path(f"configs/{options.published}.py")
    config = made["get_config"]()
    config.methods = (
        finetune_related.name,
        co_tuning.name,
        co_tuning_shuffled.name,
    )
    config.finetuning.head = "related"
    cell = {"pair": options.published}
    run, _ = cells.compared(config, cell, options.out, jobs=options.jobs)
    arms = {
        name: {
            "accuracy": cells.accuracies(run, name),
            **cells.gain(run, name, finetune_related.name),
        }
        for name in config.methods
    }
    return {"cell": cell, "arms": arms}


def by_weight(options: argparse.Namespace) -> dict:
    """Returns the gains on validation images, by the source loss's weight."""
    rows, earlier = {}, None
    for weight in options.weights:
        out = pathlib.Path(options.out) / f"{options.pair}-{weight:g}"
        config = experiment(options, weight)
        tt.compare(
            config, out, quiet=True, jobs=options.jobs, generalists=earlier
        )
        earlier = earlier or out
        found = results.read(Folder(out))
        gain = statistics.gain(
            found, co_tuning.name, finetune_related.name, "validation"
        )
        base = [
            r.validation.accuracy
            for r in found
            if r.method == finetune_related.name
        ]
        rows[f"{weight:g}"] = {
            "gain": round(100 * gain.mean, 2),
            "interval": round(100 * gain.interval, 2),
            "finetune_related": round(100 * float(np.mean(base)), 1),
        }
    return {"pair": options.pair, "weights": rows}


def main() -> None:
    options = parser().parse_args()
    found = published(options) if options.published else by_weight(options)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
