"""The start-up time of commands and imports. Prints JSON.

python tests/benchmarks/startup.py

Starts new processes in turn: `import tf_transfer` alone and with the classes of
both methods, relative to `import tensorflow`; and `tf-transfer --help`, in
seconds.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pairs

SNIPPETS = {
    "tensorflow": "import tensorflow",
    "keras": "import tensorflow, keras",
    "tf_transfer": "import tf_transfer",
    "datl": "import tf_transfer as tt; tt.DATL",
    "l2tl": "import tf_transfer as tt; tt.DATL; tt.L2TL",
}


def process(*arguments: str) -> Callable[[], None]:
    """Returns a function that runs Python in a new process."""

    def run():
        subprocess.run(
            [sys.executable, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    return run


def run(options: argparse.Namespace) -> dict[str, list[pairs.Row]]:
    """Returns all rows."""
    calls = {name: process("-c", SNIPPETS[name]) for name in options.snippets}
    calls["help"] = process("-m", "tf_transfer.cli", "--help")
    seconds = pairs.in_turn(calls, options.rounds)
    rows = [
        pairs.row("tf-transfer --help", "one second", seconds["help"], most=0.5)
    ]
    for name, goal in (("tf_transfer", 1.1), ("datl", None), ("l2tl", None)):
        if name in seconds:
            rows.append(
                pairs.row(
                    SNIPPETS[name],
                    SNIPPETS["tensorflow"],
                    seconds[name] / seconds["tensorflow"],
                    most=goal,
                    seconds=pairs.rounded(np.median(seconds[name])),
                )
            )
    if "keras" in seconds and "l2tl" in seconds:
        ratios = seconds["l2tl"] / seconds["keras"]
        rows.append(pairs.row(SNIPPETS["l2tl"], SNIPPETS["keras"], ratios))
    return {"rows": rows}


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--snippets", nargs="+", default=list(SNIPPETS))
    return flags


def main() -> None:
    """Prints the rows."""
    print(json.dumps(run(parser().parse_args()), indent=1))


if __name__ == "__main__":
    main()
