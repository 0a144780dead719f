"""What `--jobs=2` gains: the time of `compare` against one process. JSON.

python tests/benchmarks/jobs.py

Runs all methods on the embedded data, as the command does, in new processes.
It takes some eight minutes on two cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable

import numpy as np
import pairs

QUICK = (
    "--config.methods=scratch",
    "--config.finetuning.steps=2",
    "--config.data.source_per_class=2",
)


def compare(jobs: int, settings: list[str]) -> Callable[[], None]:
    """Returns a function that runs `compare` into a new folder."""

    def run():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [
                    *(sys.executable, "-m", "tf_transfer.cli", "compare"),
                    "--config=configs/glyphs_to_digits.py",
                    *(f"--out={folder}/run", f"--jobs={jobs}", "--quiet"),
                    *settings,
                ],
                check=True,
                capture_output=True,
            )

    return run


def run(options: argparse.Namespace) -> dict[str, list[pairs.Row]]:
    """Returns the row."""
    settings = [f"--config.seeds={options.seeds}"]
    if options.quick:
        settings += QUICK
    calls = {str(jobs): compare(jobs, settings) for jobs in (1, 2)}
    seconds = pairs.in_turn(calls, options.rounds, warm=False)
    row = pairs.row(
        f"`compare --jobs=2`, embedded data, {options.seeds} seeds",
        "--jobs=1",
        seconds["2"] / seconds["1"],
        most=0.65,
        seconds=pairs.rounded(np.median(seconds["2"])),
    )
    return {"rows": [row]}


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=2)
    flags.add_argument("--seeds", type=int, default=4)
    flags.add_argument("--quick", action="store_true", help="a few steps")
    return flags


def main() -> None:
    """Prints the row."""
    print(json.dumps(run(parser().parse_args()), indent=1))


if __name__ == "__main__":
    main()
