"""Source classes that look like the target, but whose labels are wrong.

python tests/benchmarks/lookalikes.py --pair=digits --seeds=20

`digits`: MNIST, a second copy of MNIST whose images are labelled at random as
ten more classes, letters, clothes and notMNIST; the target is USPS.
`vehicles`: CIFAR-100 and a copy of it, whose images are labelled at random as a
hundred more classes; the target are the vehicles of CIFAR-10. `mislabelled`:
as `digits`, but the copy is left out, and 40 % of the MNIST images get the
label of another digit.

By the images alone, which is all that DATL goes by, the two copies are alike.
`oracle` knows the copy, and leaves it out. `--pretrain`, `--entropy` and
`--rate` are settings of L2TL. Prints a line of JSON: the accuracies of all
methods and controls, the gains over `finetune_related`, that of `l2tl` over
`datl`, and the mean weight of the copy's classes as a share of that of the true
ones.

`--table FILE` makes a table of such lines. It needs `../shared/data`; run it
from the project's root.
"""

import argparse
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
from tf_transfer.experiment.methods import base
from tf_transfer.experiment.methods.datl import own_stages, pretrain_to
from tf_transfer.experiment.records.run_data import Run
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.experiment.seed_run import SeedRun

DATA = "../shared/data"
COPY, TRUE = "copy of ", "mnist "
WRONG = 0.4  # share of the labels
PER_CLASS = {"digits": 300, "mislabelled": 300, "vehicles": 200}
VEHICLES = ("airplane", "automobile", "ship", "truck")
WHOLE = "finetune_related"
SHOWN = ("datl", "joint", "l2tl", "l2tl_frozen", "oracle")
CELL = ("pair", "labels", "passes", "seeds", "pretrain", "entropy", "rate")


@base.register(stages=own_stages("oracle"), family="datl")
def oracle(run: SeedRun) -> Outcome:
    """DATL, knowing which classes to leave out."""
    copy = np.char.startswith(run.source.class_names, COPY)
    shares = run.estimate_target_prior().prior * ~copy
    return run.finetune(pretrain_to(run, shares))


def load(name: str, pair: str) -> tt.ImageData:
    """Returns the training part of a data set, some images of each class."""
    size, channels = (32, 3) if pair == "vehicles" else (16, 1)
    data = loading.load(f"npz:{DATA}/{name}.npz", size, channels).train_part()
    return splits.trained_on(data, PER_CLASS[pair])


def named(data: tt.ImageData, prefix: str, labels=None) -> tt.ImageData:
    names = [f"{prefix}{name}" for name in data.class_names]
    labels = data.labels if labels is None else labels.astype(np.int32)
    return tt.ImageData(data.images, labels, names)


def source(pair: str) -> tt.ImageData:
    """Returns the source of a pair, the same in every run."""
    rng = np.random.default_rng(0)
    first = load("cifar100" if pair == "vehicles" else "mnist", pair)
    parts = [named(first, TRUE)]
    if pair == "mislabelled":
        wrong = rng.random(len(first.labels)) < WRONG
        other = first.labels + rng.integers(1, 10, len(first.labels))
        labels = np.where(wrong, other % 10, first.labels)
        parts = [named(first, TRUE, labels)]
    else:
        labels = rng.permutation(first.labels)
        parts.append(named(first, COPY, labels))
    if pair != "vehicles":
        for name in ("emnist_letters", "fashion_mnist", "notmnist"):
            parts.append(named(load(name, pair), f"{name} "))
    return image_data.join(parts)


def settings(options: argparse.Namespace) -> config_lib.Experiment:
    """Returns the experiment of a pair."""
    vehicles = options.pair == "vehicles"
    target = "cifar10" if vehicles else "usps"
    known = () if options.pair == "mislabelled" else (oracle.name,)
    return config_lib.Experiment(
        data=config_lib.Data(
            target=f"npz:{DATA}/{target}.npz",
            target_classes=VEHICLES if vehicles else (),
            labels_per_class=options.labels,
        ),
        generalist=config_lib.Training(passes=options.passes),
        pretraining=config_lib.Training(passes=options.passes / 2),
        l2tl=config_lib.L2tl(
            passes=options.passes / 2,
            pretrain=options.pretrain,
            entropy=options.entropy,
            policy_learning_rate=options.rate,
        ),
        finetuning=config_lib.FineTuning(head="related"),
        methods=config_lib.Experiment().methods + known,
        seeds=options.seeds,
    )


def figures(run: Run) -> dict:
    """Returns what the methods reach, and how they weigh the copy."""
    names = np.array(WeightTable.read_csv(run.files).class_names)
    copy, true = (np.char.startswith(names, start) for start in (COPY, TRUE))
    rows = {}
    for name in run.config.methods:
        results = [r for r in run.results if r.method == name]
        accuracy = cells.accuracies(run, name)
        rows[name] = {"accuracy": accuracy, **cells.gain(run, name, WHOLE)}
        weights = [r.weights for r in results if r.weights is not None]
        if weights and copy.any():
            mean = np.mean(weights, axis=0)
            share = mean[copy].mean() / mean[true].mean()
            rows[name]["copy"] = round(float(share), 3)
    return {"methods": rows, "l2tl over datl": cells.gain(run, "l2tl", "datl")}


def table(pairs: list[dict]) -> str:
    """Returns the gains of all pairs as a Markdown table."""
    lines = [
        "| pair | labels | settings of L2TL | `finetune_related` | "
        f"{' | '.join(f'`{name}`' for name in SHOWN)} | `l2tl` over `datl` | "
        "`l2tl` over `l2tl_frozen` | "
        "weight of the copy: `datl`, `l2tl` |",
        f"|---|---|---|---|{'---|' * len(SHOWN)}---|---|---|",
    ]
    for cell in pairs:
        methods = cell["methods"]
        mean = 100 * np.mean(methods[WHOLE]["accuracy"])
        copies = [
            f"{methods[name]['copy']:.2f}"
            for name in ("datl", "l2tl")
            if "copy" in methods[name]
        ]
        cells_of = [
            cell["cell"]["pair"],
            str(cell["cell"]["labels"]),
            learning(cell["cell"]),
            f"{mean:.1f}",
            *(cells.points(methods.get(name, {})) for name in SHOWN),
            cells.points(cell["l2tl over datl"]),
            cells.points(over(methods, "l2tl", "l2tl_frozen")),
            ", ".join(copies),
        ]
        lines.append(f"| {' | '.join(cells_of)} |")
    return "\n".join(lines) + "\n"


def over(methods: dict, name: str, other: str) -> cells.Found:
    """Returns the gain of a method over another one, in points."""
    ours, theirs = (methods[n]["accuracy"] for n in (name, other))
    mean, half = statistics.mean_interval(np.subtract(ours, theirs))
    return {"gain": 100 * mean, "interval": 100 * half}


def learning(cell: dict) -> str:
    """Returns the settings of L2TL in a cell."""
    if not cell.get("pretrain"):
        return "default"
    return f"pretrain, entropy {cell['entropy']:g}, rate {cell['rate']:g}"


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--pair", choices=PER_CLASS, default="digits")
    flags.add_argument("--labels", type=int, default=10)
    flags.add_argument("--passes", type=float, default=1.0)
    flags.add_argument("--seeds", type=int, default=20)
    flags.add_argument("--pretrain", action="store_true")
    flags.add_argument("--entropy", type=float, default=0.1)
    flags.add_argument("--rate", type=float, default=0.02, help="of the policy")
    flags.add_argument("--jobs", type=int, default=2)
    flags.add_argument("--table", type=pathlib.Path)
    flags.add_argument("--out", default="runs/lookalikes")
    return flags


def main() -> None:
    options = parser().parse_args()
    if options.table:
        cells.print_table(options.table, table)
        return
    cell = {name: getattr(options, name) for name in CELL}
    run, minutes = cells.compared(
        settings(options),
        cell,
        options.out,
        source=source(options.pair),
        jobs=options.jobs,
    )
    seen = base.source_images(run.config, "l2tl")
    print(
        json.dumps(
            {
                "cell": cell,
                "minutes": minutes,
                "source images seen by l2tl": seen,
                **figures(run),
            }
        )
    )


if __name__ == "__main__":
    main()
