"""Sources with wrong labels: does it help to doubt single examples?

python tests/benchmarks/noise.py --pair=digits --wrong=.4 --seeds=10

`digits`: MNIST, letters, clothes and notMNIST; the target is USPS. `mnist_m`:
MNIST; the target are digits on photographs. `vehicles`: CIFAR-100; the target
are the vehicles of CIFAR-10. A share of all source labels is replaced by other
classes, drawn at random. Arms: DATL; `ratios`, which weighs examples of a class
by the ratio of densities; `beliefs`, by the belief in their labels; and both.
They continue the generalist, which has learned wrong labels, too; `afresh` is
`beliefs` from random weights, and `datl_afresh` its control. `oracle` leaves
out exactly the wrong labels, which only this script knows. Prints a line of
JSON: the accuracies of each seed, the gains over fine-tuning from the whole
source and over DATL, and how well beliefs find wrong labels.

`--table FILE` makes a table of such lines. It needs `../shared/data`; run it
from the project's root.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import numpy as np

import tf_transfer as tt
from tf_transfer import config as config_lib
from tf_transfer.data import image_data, loading, splits
from tf_transfer.experiment import statistics
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods import base, baselines, datl_examples
from tf_transfer.experiment.methods.base import register
from tf_transfer.experiment.methods.datl import datl, own_stages
from tf_transfer.experiment.records.run_data import Run
from tf_transfer.experiment.seed_run import SeedRun

DATA = "../shared/data"
SIZES = {"digits": (16, 1), "mnist_m": (20, 3), "vehicles": (32, 3)}
PER_CLASS = {"digits": 300, "mnist_m": 1000, "vehicles": 200}
PARTS = {
    "digits": ("mnist", "emnist_letters", "fashion_mnist", "notmnist"),
    "mnist_m": ("mnist",),
    "vehicles": ("cifar100",),
}
TARGETS = {"digits": "usps", "mnist_m": "mnist_m", "vehicles": "cifar10"}
VEHICLES = ("airplane", "automobile", "ship", "truck")
WHOLE = baselines.finetune_related.name
FOUND: dict[int, float] = {}  # by seed, the area under the beliefs' ROC curve
WRONG: list[np.ndarray] = []


def arm(train) -> base.Method:
    """Registers an arm: a pre-training with weights for each example."""
    return register(stages=own_stages(train.__name__), family="datl")(train)


@arm
def ratios(run: SeedRun) -> Outcome:
    """Weighs examples by the ratio of densities."""
    scores = datl_examples.scores_of(run)
    FOUND[run.seed] = statistics.roc_area(~WRONG[0], scores.beliefs)
    return datl_examples.tuned(run, scores.ratios, None)


@arm
def beliefs(run: SeedRun) -> Outcome:
    """Weighs examples by the belief in their labels."""
    settings = dataclasses.replace(run.config.examples, temper=0.0)
    scores = datl_examples.scores_of(run)
    return datl_examples.tuned(run, scores.ratios, scores.beliefs, settings)


@arm
def afresh(run: SeedRun) -> Outcome:
    """Weighs examples by the belief in their labels, from random weights."""
    with from_random_weights(run):
        return beliefs(run)


@arm
def datl_afresh(run: SeedRun) -> Outcome:
    """DATL from random weights."""
    with from_random_weights(run):
        return run.finetune(run.pretrain(run.importance()))


@arm
def oracle(run: SeedRun) -> Outcome:
    """Leaves out exactly the examples with wrong labels."""
    settings = dataclasses.replace(run.config.examples, temper=0.0)
    right = (~WRONG[0]).astype(np.float32)
    return datl_examples.tuned(run, np.ones_like(right), right, settings)


@contextlib.contextmanager
def from_random_weights(run: SeedRun):
    """Makes pre-training by weights start from random weights, once."""
    config = run.config
    fresh = dataclasses.replace(config.datl, start="random")
    run.config = dataclasses.replace(config, datl=fresh)
    try:
        yield
    finally:
        run.config = config


both = datl_examples.datl_examples
SHOWN = (datl, ratios, beliefs, both, datl_afresh, afresh, oracle)


def source(pair: str, share: float) -> tt.ImageData:
    """Returns the source of a pair, the same in every run."""
    parts = []
    for name in PARTS[pair]:
        data = loading.load(f"npz:{DATA}/{name}.npz", *SIZES[pair])
        part = splits.trained_on(data.train_part(), PER_CLASS[pair])
        names = [f"{name} {each}" for each in part.class_names]
        parts.append(tt.ImageData(part.images, part.labels, names))
    whole = image_data.join(parts)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(whole.labels)) < share
    others = rng.integers(1, whole.num_classes, len(whole.labels))
    labels = np.where(wrong, whole.labels + others, whole.labels)
    WRONG[:] = [wrong]
    labels = (labels % whole.num_classes).astype(np.int32)
    return tt.ImageData(whole.images, labels, whole.class_names)


def settings(options: argparse.Namespace) -> config_lib.Experiment:
    """Returns the experiment of a pair."""
    return config_lib.Experiment(
        data=config_lib.Data(
            target=f"npz:{DATA}/{TARGETS[options.pair]}.npz",
            target_classes=VEHICLES if options.pair == "vehicles" else (),
            labels_per_class=options.labels,
        ),
        generalist=config_lib.Training(passes=options.passes),
        pretraining=config_lib.Training(passes=options.passes),
        finetuning=config_lib.FineTuning(head="related"),
        examples=config_lib.Examples(beliefs=True),
        methods=(WHOLE, *options.arms),
        seeds=options.seeds,
    )


def figures(run: Run) -> dict:
    """Returns the accuracies of the arms, and their gains."""
    rows = {}
    for name in run.config.methods:
        rows[name] = {
            "accuracy": cells.accuracies(run, name),
            "over whole": cells.gain(run, name, WHOLE),
            "over datl": cells.gain(run, name, datl.name),
        }
    return rows


def table(found: list[dict]) -> str:
    """Returns the gains of all cells as a Markdown table."""
    names = [each.name for each in SHOWN]
    lines = [
        f"| pair | wrong labels | AUC of beliefs | `{WHOLE}` | "
        f"{' | '.join(f'`{name}`' for name in names)} | "
        "`beliefs` over `datl` | both over `datl` |",
        f"|{'---|' * (len(names) + 6)}",
    ]
    for cell in found:
        arms = cell["arms"]
        row = [
            cell["cell"]["pair"],
            f"{cell['cell']['wrong']:.0%}",
            "-" if cell["auc"] is None else f"{cell['auc']:.2f}",
            f"{100 * np.mean(arms[WHOLE]['accuracy']):.1f}",
            *(gain(arms, name, "over whole") for name in names),
            gain(arms, beliefs.name, "over datl"),
            gain(arms, both.name, "over datl"),
        ]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def gain(arms: dict, name: str, over: str) -> str:
    """Returns a gain of an arm as text, empty if it was left out."""
    return cells.points(arms[name][over]) if name in arms else ""


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--pair", choices=SIZES, default="digits")
    flags.add_argument("--wrong", type=float, default=0.4)
    flags.add_argument("--labels", type=int, default=10)
    flags.add_argument("--passes", type=float, default=2.0)
    flags.add_argument("--seeds", type=int, default=10)
    names = [each.name for each in SHOWN]
    flags.add_argument("--arms", nargs="+", choices=names, default=names)
    flags.add_argument("--table", type=pathlib.Path)
    flags.add_argument("--out", default="runs/noise")
    return flags


def main() -> None:
    options = parser().parse_args()
    if options.table:
        cells.print_table(options.table, table)
        return
    cell = {
        name: getattr(options, name)
        for name in ("pair", "wrong", "labels", "passes", "seeds")
    }
    noisy = source(options.pair, options.wrong)
    run, minutes = cells.compared(
        settings(options), cell, options.out, source=noisy
    )
    areas = [area for area in FOUND.values() if 0 < area < 1]
    line = {
        "cell": cell,
        "minutes": minutes,
        "auc": round(float(np.mean(areas)), 3) if areas else None,
        "arms": figures(run),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
