"""A source without labels: pre-training on clusters, weighted and not.

python tests/benchmarks/unlabelled.py --passes=.5 --seeds=10

The source are the 120,000 images of Tiny-ImageNet and CIFAR-100 at 32 pixels;
the target are the vehicles of CIFAR-10. Once the labels of the source are used,
once they are ignored and clusters take their place. Prints a line of JSON for
each: the test accuracies of each seed, and the gains over fine-tuning from the
whole source and over training on the target alone.

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
import regime

from tf_transfer import config as config_lib
from tf_transfer.experiment.methods import baselines, datl, datl_clusters
from tf_transfer.experiment.records.run_data import Run

WHOLE, SCRATCH = regime.WHOLE, baselines.scratch.name
METHODS = (
    SCRATCH,
    WHOLE,
    datl.datl.name,
    datl.datl_uniform.name,
    datl_clusters.datl_clusters.name,
    datl_clusters.datl_clusters_random.name,
)


def settings(options: argparse.Namespace) -> config_lib.Experiment:
    """Returns the experiment with or without the source's labels."""
    options.target, options.start, options.growing = "vehicles", "generalist", 0
    config = regime.settings(options)
    config.data.source_labels = options.source_labels
    config.data.clusters = options.clusters
    config.relevant, config.methods = (), METHODS
    return config


def figures(run: Run) -> dict:
    """Returns the accuracies of the methods, and their gains."""
    rows = {}
    for name in run.config.methods:
        rows[name] = {
            "accuracy": cells.accuracies(run, name),
            "over whole": cells.gain(run, name, WHOLE),
            "over scratch": cells.gain(run, name, SCRATCH),
        }
    return rows


def table(found: list[dict]) -> str:
    """Returns the accuracies and gains as a Markdown table."""
    lines = [
        "| classes of the source | passes | method | accuracy | over "
        f"`{SCRATCH}` | over `{WHOLE}` |",
        "|---|---|---|---|---|---|",
    ]
    for line in found:
        cell = line["cell"]
        for name, row in line["methods"].items():
            gains = [
                cells.points(row[over])
                for over in ("over scratch", "over whole")
            ]
            mean = 100 * np.mean(row["accuracy"])
            first = "its labels"
            if cell["source_labels"] == "clusters":
                first = f"{cell['clusters']} clusters"
            lines.append(
                f"| {first} | {cell['passes']:g} | `{name}` | {mean:.1f} | "
                f"{' | '.join(gains)} |"
            )
    return "\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--source_labels", default="clusters")
    flags.add_argument("--clusters", type=int, default=300)
    flags.add_argument("--labels", type=int, default=20)
    flags.add_argument("--passes", type=float, default=0.5)
    flags.add_argument("--share", type=float, default=0.3)
    flags.add_argument("--width", type=int, default=8)
    flags.add_argument("--seeds", type=int, default=10)
    flags.add_argument("--arms", default=(), help=argparse.SUPPRESS)
    flags.add_argument("--table", type=pathlib.Path)
    flags.add_argument("--out", default="runs/unlabelled")
    return flags


def main() -> None:
    options = parser().parse_args()
    if options.table:
        cells.print_table(options.table, table)
        return
    names = "source_labels", "clusters", "labels", "passes", "width", "seeds"
    cell = {name: getattr(options, name) for name in names}
    run, minutes = cells.compared(settings(options), cell, options.out)
    line = {"cell": cell, "minutes": minutes, "methods": figures(run)}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
