"""Where the time of the main job goes. Prints JSON.

python tests/benchmarks/main_job.py

Runs `compare` with every method and times the training functions of Keras, on
the embedded data and on real images, each in its own process. It takes about
eight minutes on two cores, and needs `../shared/data`. `parts` are the seconds
of the process; `rest` is the time that no part covers, and `tracing` the first
call of each training function. The rows are the shares of `steps`, and the
number of training steps against that of the distinct stages of all methods
(above 1: something was trained twice, or in addition, as the exported student
is). More seeds lower the share of tracing, larger steps that of the rest.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pairs
import psutil

import tf_transfer as tt
from tf_transfer.commands import compare
from tf_transfer.commands.preparation import inputs
from tf_transfer.experiment import compiled_models, seed_run
from tf_transfer.experiment.methods import base
from tf_transfer.experiment.records import run_folder
from tf_transfer.experiment.stages import trainers
from tf_transfer.models import class_relation
from tf_transfer.report import html
from tf_transfer.training import checkpoint

CONFIGS = ("glyphs_to_digits", "mixture_to_usps")
WATCHED = (
    (inputs, "load", "loading the data"),
    (compiled_models.CompiledModels, "of", "making the models"),
    (compare, "_export_chosen", "export"),
    (html, "write", "report"),
    (checkpoint.Resume, "save", "checkpoints"),
    (run_folder.RunFolder, "save_model", "saved models"),
    (trainers.Trainer, "fit", "rest of fit"),
    (trainers.Trainer, "logits", "evaluation"),
    (seed_run, "estimate_target_prior", "evaluation"),
    (class_relation, "class_relation", "evaluation"),
)


class Clock:
    """Seconds by name, without those of parts timed inside a part.

    `steps` is the number of training steps taken.
    """

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.steps = 0
        self.inside = [0.0]

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self.inside.append(0.0)
        yield
        spent = time.perf_counter() - started
        own = spent - self.inside.pop()
        self.inside[-1] += spent
        self.seconds[name] = self.seconds.get(name, 0.0) + own

    def watch(self, owner: object, attribute: str, name: str):
        """Times every call of a function of a module or class in the block."""
        function = getattr(owner, attribute)

        def timed(*args, **kwargs):
            with self.of(name):
                return function(*args, **kwargs)

        return mock.patch.object(owner, attribute, timed)

    def watch_steps(self):
        """Times every call of the training functions of Keras in the block."""
        make = keras.Model.make_train_function

        def timed_make(model, force=False):
            before = model.train_function
            make(model, force)
            if model.train_function is before and not force:
                return
            run, first = model.train_function, [True]

            def step(iterator):
                before = int(model.optimizer.iterations)
                with self.of("tracing" if first.pop() else "steps"):
                    first.append(False)
                    logs = run(iterator)
                self.steps += int(model.optimizer.iterations) - before
                return logs

            model.train_function = step

        return mock.patch.object(keras.Model, "make_train_function", timed_make)


def run(options: argparse.Namespace) -> dict:
    """Runs the jobs and returns their rows and parts."""
    if len(options.configs) == 1:
        return job(options.configs[0], options)
    rows, parts, absent = [], {}, []
    for name in options.configs:
        command = [sys.executable, __file__, *sys.argv[1:], "--configs", name]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1]
            absent.append(f"{name} ({reason})")
            continue
        figures = json.loads(done.stdout)
        rows += figures["rows"]
        parts[name] = figures["parts"]
    return {"rows": rows, "parts": parts, "absent": absent}


def job(name: str, options: argparse.Namespace) -> dict:
    """Runs a job in this process and returns its row and parts."""
    clock = Clock()
    path = pathlib.Path(__file__).parents[2] / "configs" / f"{name}.py"
    config = runpy.run_path(str(path))["get_config"]()
    config = dataclasses.replace(config, seeds=options.seeds)
    if options.methods:
        config.methods = tuple(options.methods)
    if options.quick:
        config.data.source_per_class = 2
        config.finetuning.steps = 2
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(clock.watch_steps())
        for watched in WATCHED:
            stack.enter_context(clock.watch(*watched))
        tt.compare(config, pathlib.Path(folder) / "run", quiet=True)
    whole = time.time() - psutil.Process().create_time()
    parts = clock.seconds
    parts["rest"] = whole - sum(parts.values())
    share = parts["steps"] / whole
    row = pairs.row(
        f"main job, {name}, {options.seeds} seed(s): seconds in the steps",
        "seconds of the process",
        share,
        least=0.75,
        whole=round(whole, 1),
    )
    distinct = base.planned_steps(config, config.methods) * options.seeds
    again = pairs.row(
        f"main job, {name}, {options.seeds} seed(s): training steps",
        "the distinct steps of all methods",
        clock.steps / distinct,
        most=1.1,
        steps=clock.steps,
    )
    parts = {name: round(spent, 2) for name, spent in parts.items()}
    return {"rows": [row, again], "parts": parts}


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--configs", nargs="+", default=CONFIGS)
    flags.add_argument("--seeds", type=int, default=5)
    flags.add_argument("--methods", nargs="+")
    flags.add_argument("--quick", action="store_true", help="a few steps")
    return flags


def main() -> None:
    """Prints the shares and the parts."""
    print(json.dumps(run(parser().parse_args()), indent=1))


if __name__ == "__main__":
    main()
