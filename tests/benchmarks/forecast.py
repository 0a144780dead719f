"""How well the forecast predicts where DATL's weights help. Prints JSON.

python tests/benchmarks/forecast.py --out=configs/results/forecast.json

For every cell of `configs/results/regime.jsonl`, and for every published run
with `datl` and `finetune_related`, it measures the facts that the forecast goes
by (the mean of two seeds, which takes a generalist each), and writes them with
the gain that was measured. What the file holds already is kept. The rows
that `calibrates` marks, every other of the first ten cells, calibrate the
forecast; the other cells and the published runs test it. Prints
the constants of the calibration, which `records.forecast` holds, and how often
the forecast is right: "likely to help" where the gain is significant, "not
likely" where it is not. It needs `../shared/data`; run it from the
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
import regime_page
import scipy.optimize

from tf_transfer.commands.preparation import inputs
from tf_transfer.config import Experiment
from tf_transfer.experiment import statistics
from tf_transfer.experiment.records import forecast
from tf_transfer.experiment.records.forecast import Forecast
from tf_transfer.experiment.records.run_data import Run
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.runner import Runner

RESULTS = pathlib.Path("configs/results")
SEEDS = 2
BASELINE = regime.WHOLE


def cases() -> Iterator[tuple[str, Experiment, float, float]]:
    """Yields name, experiment, gain and interval in points of every case."""
    for found in regime_page.read(RESULTS / "regime.jsonl"):
        cell, row = found["cell"], found["arms"].get("ratio")
        if row is None or cell["growing"]:
            continue
        options = regime.parser().parse_args([])
        vars(options).update(cell)
        name = (
            f"{options.target}, {options.labels} labels, "
            f"{options.passes:g} passes, width {options.width}, "
            f"share {options.share:g}, start {options.start}"
        )
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


def is_cell(row: dict) -> bool:
    """Whether a row is a cell of the regime, not a published run."""
    return "labels," in row["name"]


def calibrated(rows: list[dict]) -> tuple[float, float]:
    """Returns the constants that fit best."""

    def errors(constants):
        return [
            Forecast(**row["facts"]).expected(*constants) - row["gain"]
            for row in rows
        ]

    fit = scipy.optimize.least_squares(
        errors, [forecast.GAIN, forecast.POWER], bounds=([0, 0.5], [50, 20])
    )
    return tuple(fit.x)


def is_right(row: dict) -> bool:
    """Whether the forecast tells a significant gain from none."""
    gains = row["gain"] > row["interval"]
    return Forecast(**row["facts"]).helps == gains


def verdict(rows: list[dict]) -> dict:
    """Returns the calibration on some cells, and the test on the rest."""
    groups = {
        "calibration": [row for row in rows if row["calibrates"]],
        "held back": [
            row for row in rows if is_cell(row) and not row["calibrates"]
        ],
        "published": [row for row in rows if not is_cell(row)],
    }
    gain, power = calibrated(groups["calibration"])
    rest = groups["held back"] + groups["published"]
    errors = [
        Forecast(**row["facts"]).expected(gain, power) - row["gain"]
        for row in rest
    ]
    error = float(np.sqrt(np.mean(np.square(errors))))
    return {
        "calibrated": {"GAIN": gain, "POWER": power, "ERROR": error},
        "right": {
            name: [sum(map(is_right, group)), len(group)]
            for name, group in groups.items()
        },
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
        row.setdefault("calibrates", False)
        if "facts" not in row:
            row["facts"] = facts(config)
        rows.append(row)
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(row), flush=True)
    print(json.dumps(verdict(rows), indent=1))


if __name__ == "__main__":
    main()
