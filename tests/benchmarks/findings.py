"""DATL's findings, one figure each, and the steps that the weights save.

python tests/benchmarks/findings.py --out=runs/findings

This is the paper's own protocol: pre-training from random weights on the
weighted or the whole source, then fine-tuning with a fresh head. It draws a
picture of each finding, writes `findings.json` and `findings.md` beside them,
and prints JSON.

- irrelevant.png: the gain against the share of irrelevant source images.
- temper.png: the gain against how far the weights are tempered.
- labels.png: fine against coarse source labels (CIFAR-100's 20 superclasses).
- efficiency.png: accuracy against source steps, weighted and unweighted.
- continued.png: the same, but from the generalist, as in `compare`.
- right.png: joint training with equal weights, as `joint` does it, and as
  `l2tl` does it on the relevant classes alone, which is the most that learned
  weights can gain. From the generalist and a related head, as in `compare`.
- areas.png: the area under the ROC curve with which the class weights of each
  estimator separate the relevant source classes from the others.

It takes about 15 minutes a seed on two cores, and needs `../shared/data`. Run
it from the project's root.
"""

import argparse
import importlib.util
import json
import os
import pathlib
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from findings_page import (
    EQUAL,
    RIGHT,
    TITLES,
    WEIGHTED,
    WHOLE,
    Curves,
    draw,
    page,
)

import tf_transfer as tt
from tf_transfer import config as config_lib
from tf_transfer.commands.preparation import inputs
from tf_transfer.data import splits
from tf_transfer.datl import estimation
from tf_transfer.experiment import statistics
from tf_transfer.experiment.compiled_models import CompiledModels, Outcome
from tf_transfer.experiment.methods import l2tl
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.seed_run import SeedRun

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
PARTS = ("mnist", "fashion_mnist", "notmnist", "emnist_letters")
TEMPERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
STEPS = (75, 150, 300, 600, 1200)
BUDGET = 600
# Of the classes in alphabetical order.
SUPERCLASSES = (
    "4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 "
    "0 11 1 10 12 14 16 9 11 5 5 19 8 8 15 13 14 17 18 10 16 4 17 4 2 0 17 4 "
    "18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 15 13 16 19 2 4 6 19 "
    "5 5 8 19 18 1 2 15 6 0 17 8 14 13"
)


def load_config(name: str, **data) -> config_lib.Experiment:
    """Returns a config of the repository, with the paper's start."""
    path = CONFIGS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    for field, value in data.items():
        setattr(config.data, field, value)
    config.datl.start = "random"
    config.finetuning.head = "fresh"
    return config


def seed_runs(
    config: config_lib.Experiment,
    out: pathlib.Path,
    seeds: range,
    coarse: bool = False,
) -> Iterator[SeedRun]:
    """Yields the run of every seed."""
    loaded = inputs.load(config, None, None, quiet=True)
    config, source, target = loaded.config, loaded.source, loaded.target
    if coarse:
        groups = np.array(SUPERCLASSES.split(), np.int32)
        names = [f"superclass {c}" for c in range(groups.max() + 1)]
        source = tt.ImageData(source.images, groups[source.labels], names)
    models = CompiledModels.of(config, source, target)
    head = config.finetuning.head
    parts = inputs.split_target(config, target, seeds)
    with RunFolder(out, config, loaded.fingerprints) as folder:
        for seed, split in parts.items():
            yield SeedRun(
                models, source, split, seed, folder, lambda steps: None, head
            )


def accuracy(run: SeedRun, importance, steps: int = BUDGET) -> float:
    """Returns the test accuracy after weighted (None: whole) pre-training."""
    run.config.pretraining.steps = steps
    return tested(run, run.finetune(run.pretrain(importance)))


def tested(run: SeedRun, outcome: Outcome) -> float:
    """Returns the test accuracy of the outcome of a method."""
    with run.models.target.loaded(outcome.state):
        return run.evaluate(splits.Part.TEST).accuracy


def irrelevant(out: pathlib.Path, seeds: range) -> Curves:
    """Gains of the weights by the share of irrelevant images in the source."""
    gains_by_share = {}
    for count in range(1, len(PARTS) + 1):
        parts = [f"npz:../shared/data/{part}.npz" for part in PARTS[:count]]
        config = load_config("mixture_to_usps", source="+".join(parts))
        gains, share = [], 0.0
        for run in seed_runs(config, out / f"irrelevant-{count}", seeds):
            share = 1 - 10 / run.source.num_classes
            gains.append(accuracy(run, run.importance()) - accuracy(run, None))
        gains_by_share[f"{share:.2f}"] = gains
    return {"mixture_to_usps": gains_by_share}


def temper(out: pathlib.Path, seeds: range) -> Curves:
    """Gains of the weights by the exponent of P_t / P_s."""
    gains_by_temper = {str(temper): [] for temper in TEMPERS}
    config = load_config("mixture_to_usps")
    for run in seed_runs(config, out / "temper", seeds):
        base = accuracy(run, None)
        for name, gains in gains_by_temper.items():
            weighted = run.importance(temper=float(name))
            gains.append(accuracy(run, weighted) - base)
    return {"mixture_to_usps": gains_by_temper}


def labels(out: pathlib.Path, seeds: range) -> Curves:
    """Accuracy by how fine the labels of the same source images are."""
    curves = {}
    for coarse in (True, False):
        name = "20 superclasses" if coarse else "100 classes"
        config = load_config("cifar100_to_cifar10")
        folder = out / f"labels-{'coarse' if coarse else 'fine'}"
        curves[name] = [
            accuracy(run, None, steps=max(STEPS))
            for run in seed_runs(config, folder, seeds, coarse)
        ]
    return {"cifar100_to_cifar10": curves}


def efficiency(
    out: pathlib.Path, seeds: range, start: str = "random"
) -> Curves:
    """Accuracy by source steps, weighted and unweighted."""
    curves = {}
    for name in ("mixture_to_usps", "cifar100_to_vehicles"):
        whole, weighted = ({str(n): [] for n in STEPS} for _ in range(2))
        config = load_config(name)
        config.datl.start = start
        for run in seed_runs(config, out / f"{start}-{name}", seeds):
            for steps in STEPS:
                importance = run.importance()
                whole[str(steps)].append(accuracy(run, None, steps))
                weighted[str(steps)].append(accuracy(run, importance, steps))
        curves |= {name + WHOLE: whole, name + WEIGHTED: weighted}
    return curves


def continued(out: pathlib.Path, seeds: range) -> Curves:
    """Accuracy by the steps after those of the generalist."""
    return efficiency(out, seeds, "generalist")


def right(out: pathlib.Path, seeds: range) -> Curves:
    """Accuracies of joint training with equal and with the right weights."""
    curves = {}
    for name in ("mixture_to_usps", "cifar100_to_vehicles"):
        config = load_config(name)
        config.datl.start, config.finetuning.head = "generalist", "related"
        equal, weighted = [], []
        for run in seed_runs(config, out / f"right-{name}", seeds):
            relevant = np.isin(run.source.class_names, config.relevant)
            for values, outcome in (
                (equal, l2tl.train_uniform(run)),
                (weighted, l2tl.train_weighted(run, relevant, 1.0)),
            ):
                values.append(tested(run, outcome))
        curves[name] = {EQUAL: equal, RIGHT: weighted}
    return curves


def areas(out: pathlib.Path, seeds: range) -> Curves:
    """ROC areas of the class weights by estimator."""
    curves = {}
    for name in ("mixture_to_usps", "cifar100_to_vehicles"):
        config = load_config(name)
        config.datl.estimator = "bbse"  # holds out source images
        curves[name] = {kind: [] for kind in estimation.ESTIMATORS}
        for run in seed_runs(config, out / f"areas-{name}", seeds):
            relevant = np.isin(run.source.class_names, config.relevant)
            state = run.train_generalist()
            with run.models.generalist.loaded(state) as generalist:
                for kind, values in curves[name].items():
                    estimate = estimation.estimate_target_prior(
                        generalist,
                        run.target.labelled.batches(),
                        run.source.prior,
                        **run.estimation_settings() | {"estimator": kind},
                    )
                    weights = estimate.prior / run.source.prior
                    values.append(statistics.roc_area(relevant, weights))
    return curves


FIGURES = {
    "irrelevant": irrelevant,
    "temper": temper,
    "labels": labels,
    "efficiency": efficiency,
    "continued": continued,
    "right": right,
    "areas": areas,
}


def main() -> None:
    """Runs the chosen parts; draws and prints all that have been run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--only", nargs="*", choices=tuple(FIGURES), default=tuple(FIGURES)
    )
    options = parser.parse_args()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    path = out / "findings.json"
    findings = json.loads(path.read_text()) if path.exists() else {}
    for name in options.only:
        findings[name] = FIGURES[name](out, range(options.seeds))
        path.write_text(json.dumps(findings, indent=1) + "\n")
    findings = {name: findings[name] for name in FIGURES if name in findings}
    for name, curves in findings.items():
        draw(out / f"{name}.png", curves, *TITLES[name][1:])
    (out / "findings.md").write_text(page(findings))
    print(json.dumps(findings, indent=1))


if __name__ == "__main__":
    main()
