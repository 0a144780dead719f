"""The start-up time of commands and imports. Prints JSON.

python tests/benchmarks/startup.py

Starts new processes in turn: `import tf_transfer` alone and with the classes of
both methods, relative to `import tensorflow`; `tf-transfer --help`, in seconds;
and `compare` on the embedded data until its first training step is done,
relative to a process that imports TensorFlow, makes the same model and takes a
step.
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
STEP = """
import tensorflow as tf, keras, numpy as np
import tf_transfer as tt
encoder = tt.small_encoder((12, 12, 1), width=8, form="flat")
model = tt.classifier(encoder, 335)  # as in glyphs_to_digits
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
images = np.zeros((64, 12, 12, 1), np.float32)
model.fit(images, np.zeros(64, np.int32), batch_size=64, verbose=0)
"""
COMPARE = """
import os, tempfile, keras
make = keras.Model.make_train_function
def stopping(model, force=False):
    make(model, force)
    step = model.train_function
    def once(iterator):
        step(iterator)
        os._exit(0)
    model.train_function = once
keras.Model.make_train_function = stopping
import tf_transfer as tt
from configs.glyphs_to_digits import get_config
with tempfile.TemporaryDirectory() as folder:
    tt.compare(get_config(), folder + "/run", quiet=True)
"""


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
    if not options.imports_alone:
        calls |= {
            "step": process("-c", STEP),
            "compare": process("-c", COMPARE),
        }
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
    if "step" in seconds:
        rows.append(
            pairs.row(
                "`compare` on the embedded data, to the end of its first step",
                "import of TensorFlow, and the first step of the same model",
                seconds["compare"] / seconds["step"],
                most=1.5,
                seconds=pairs.rounded(np.median(seconds["compare"])),
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
    flags.add_argument("--imports_alone", action="store_true")
    return flags


def main() -> None:
    """Prints the rows."""
    print(json.dumps(run(parser().parse_args()), indent=1))


if __name__ == "__main__":
    main()
