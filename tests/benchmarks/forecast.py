"""How well the forecast predicts where DATL's weights help. Prints JSON.

python tests/benchmarks/forecast.py --out=configs/results/forecast.json

For every cell of `configs/results/regime.jsonl`, and for every published run
with `datl` and `finetune_related`, it measures the facts that the forecast goes
by (the mean of two seeds, which takes a generalist each), and writes them with
the gain that was measured. What the file holds already is kept. Every other
cell calibrates the forecast, the others and the published runs test it. Prints
the coefficients of the calibration, which `experiment.forecast` holds, and how
often the forecast is right. It needs `../shared/data`; run it from the
project's root.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import regime

from tf_transfer.commands.preparation import inputs
from tf_transfer.config import Experiment
from tf_transfer.experiment import statistics
from tf_transfer.experiment.records.run_data import Run
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.runner import Runner

RESULTS = pathlib.Path("configs/results")
SEEDS = 2
BASELINE = regime.WHOLE


def cases() -> Iterator[tuple[str, Experiment, float, float]]:
    """Yields name, experiment, gain and interval in points of every case."""
    for line in (RESULTS / "regime.jsonl").read_text().splitlines():
        found = json.loads(line)
        cell, row = found["cell"], found["arms"]["ratio"]
        options = regime.parser().parse_args([])
        vars(options).update(cell)
        name = "cell " + " ".join(map(str, cell.values()))
        yield name, regime.settings(options), row["gain"], row["interval"]
    for folder in sorted(
        path.parent for path in RESULTS.glob("*/results.json")
    ):
        run = Run.read(folder)
        gain = statistics.gain(run.results, "datl", BASELINE)
        if gain is not None and run.config.datl.start == "generalist":
            points = 100 * gain.mean, 100 * gain.interval
            yield folder.name, run.config, *points


def facts(config: Experiment) -> dict[str, float]:
    """Returns the mean facts of a few seeds."""
    config = dataclasses.replace(config, methods=("datl",), seeds=SEEDS)
    loaded = inputs.load(config, None, None, quiet=True)
    config = loaded.config
    parts = inputs.split_target(config, loaded.target, range(SEEDS), None)
    with (
        tempfile.TemporaryDirectory() as folder,
        RunFolder(f"{folder}/run", config, loaded.fingerprints) as run_folder,
    ):
        runner = Runner(
            config, run_folder, loaded.source, loaded.target, parts, quiet=True
        )
        found = [runner.forecast(seed) for seed in parts]
    rows = [dataclasses.asdict(each) for each in found]
    return {
        name: float(np.mean([row[name] for row in rows])) for name in rows[0]
    }


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--out", type=pathlib.Path, required=True)
    options = flags.parse_args()
    kept = {}
    if options.out.exists():
        kept = {row["name"]: row for row in json.loads(options.out.read_text())}
    rows = []
    for name, config, gain, interval in cases():
        row = kept.get(name, {"name": name})
        row |= {"gain": round(gain, 2), "interval": round(interval, 2)}
        if "facts" not in row:
            row["facts"] = facts(config)
        rows.append(row)
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
