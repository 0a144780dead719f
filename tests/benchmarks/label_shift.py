"""DATL's class weights against those of adapt and skada. JSON.

python tests/benchmarks/label_shift.py

Features of 10 classes, whose shares differ between source and target: a known
label shift, drawn anew in every round, in which all estimators run in turn on
the same rows. Ours is `estimate_target_prior` with the head of a generalist;
theirs are the adapters' `fit_weights`, or `fit` and `compute_weights`,
averaged over each class. `error` is the mean distance of the class weights
from the true ones, ours over theirs. `seconds` is the same ratio of times, but
ours are without the pass of the rows through the head (`seconds_with_forward`
are with it). The width of kernels is the median distance. Adapters that need a
matrix of all pairs of rows, or its inverse, run only on few rows.

Needs `pip install adapt==0.4.5 skada`; a package that is not installed is left
out, and listed in `absent`.
"""

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pairs
from sklearn.linear_model import LogisticRegression

import tf_transfer as tt
from tf_transfer.datl import estimation
from tf_transfer.models.inference import stream_outputs

CLASSES, FEATURES = 10, 32
SPREAD = 2.0
FEW = 2_000
WHAT = ("seconds beyond the forward pass", "error")
ALL_PAIRS = ("adapt KMM", "skada KMM", "skada MMDTarS")


def draw(rows: int, share: np.ndarray, rng: np.random.Generator):
    """Returns features `[rows, FEATURES]` and labels with these shares."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    labels = rng.choice(CLASSES, rows, p=share)
    noise = SPREAD * rng.normal(size=(rows, FEATURES))
    return centres[labels] + noise, labels


def head(rng: np.random.Generator) -> keras.Model:
    """Returns a classifier that was trained on other source rows."""
    flat = np.full(CLASSES, 1 / CLASSES)
    trained = LogisticRegression(max_iter=1000).fit(*draw(5_000, flat, rng))
    model = keras.Sequential(
        [keras.Input((FEATURES,)), keras.layers.Dense(CLASSES)]
    )
    model.set_weights([trained.coef_.T, trained.intercept_])
    return model


def ours(estimator: str, model: keras.Model, held_out) -> Callable:
    """Returns the package's estimator of class weights."""

    def weigh(source, labels, target):
        prior = tt.source_prior(labels, CLASSES)
        estimate = tt.estimate_target_prior(
            model,
            target,
            prior,
            estimator=estimator,
            held_out=held_out,
            bootstrap=0,
        )
        return tt.importance_weights(estimate.prior, prior)

    return weigh


class ForwardPass:
    """Stands in for `stream_outputs`, and counts the seconds spent in it."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self, model: keras.Model, batches) -> Iterator:
        outputs = stream_outputs(model, batches)
        while True:
            started = time.perf_counter()
            batch = next(outputs, None)
            self.seconds += time.perf_counter() - started
            if batch is None:
                return
            yield batch


def gamma_of(rows: np.ndarray) -> float:
    """Returns the kernel width by the median heuristic."""
    some = rows[:500]
    distances = ((some[:, None] - some[None]) ** 2).sum(-1)
    return float(1 / np.median(distances[distances > 0]))


def rivals_of_adapt() -> dict[str, Callable]:
    """Returns the estimators of adapt."""
    from adapt.instance_based import IWC, KLIEP, KMM

    def weigh(make):
        def run(source, labels, target):
            adapter = make(gamma_of(source))
            return of_classes(adapter.fit_weights(source, target), labels)

        return run

    quiet = {"verbose": 0, "random_state": 0}
    return {
        "adapt KLIEP": weigh(lambda gamma: KLIEP(gamma=gamma, **quiet)),
        "adapt IWC": weigh(lambda gamma: IWC(**quiet)),
        "adapt KMM": weigh(lambda gamma: KMM(gamma=gamma, **quiet)),
    }


def rivals_of_skada() -> dict[str, Callable]:
    """Returns the estimators of skada."""
    from skada import (
        DiscriminatorReweightAdapter,
        KLIEPReweightAdapter,
        KMMReweightAdapter,
        MMDTarSReweightAdapter,
    )

    def weigh(make):
        def run(source, labels, target):
            rows = np.concatenate([source, target])
            unknown = np.full(len(target), -1)
            partial = np.concatenate([labels, unknown])
            domain = np.where(partial < 0, -2, 1)
            adapter = make(gamma_of(source))
            adapter.fit(rows, partial, sample_domain=domain)
            weights = adapter.compute_weights(
                rows, partial, sample_domain=domain
            )
            return of_classes(weights[: len(source)], labels)

        return run

    return {
        "skada KLIEP": weigh(lambda gamma: KLIEPReweightAdapter(gamma=gamma)),
        "skada discriminator": weigh(lambda _: DiscriminatorReweightAdapter()),
        "skada KMM": weigh(lambda gamma: KMMReweightAdapter(gamma=gamma)),
        "skada MMDTarS": weigh(lambda g: MMDTarSReweightAdapter(gamma=g)),
    }


def of_classes(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean weight of each class, with mean 1 over the rows."""
    sums = np.bincount(labels, weights, minlength=CLASSES)
    return sums / np.bincount(labels, minlength=CLASSES) / weights.mean()


def measure(
    ways: dict[str, Callable], rows: int, rounds: int
) -> tuple[pairs.Times, pairs.Times, pairs.Times]:
    """Runs all estimators in turn, in a new order every round.

    Returns:
        Seconds with and without the forward pass, and errors.
    """
    whole, beyond, errors = (
        {name: np.zeros(rounds) for name in ways} for _ in range(3)
    )
    flat = np.full(CLASSES, 1 / CLASSES)
    for i in range(rounds):
        rng = np.random.default_rng(1 + i)
        share = rng.dirichlet(np.ones(CLASSES))
        source, labels = draw(rows, flat, rng)
        target, _ = draw(rows, share, rng)
        for name in rng.permutation(list(ways)):
            forward = ForwardPass()
            with mock.patch.object(estimation, "stream_outputs", forward):
                started = time.perf_counter()
                weights = ways[name](source, labels, target)
                whole[name][i] = time.perf_counter() - started
            beyond[name][i] = whole[name][i] - forward.seconds
            errors[name][i] = np.abs(weights - share / flat).mean()
    return whole, beyond, errors


def run(options: argparse.Namespace) -> dict:
    """Returns all rows, and the packages that are absent."""
    rivals, absent = {}, []
    for package, make in (
        ("adapt", rivals_of_adapt),
        ("skada", rivals_of_skada),
    ):
        if importlib.util.find_spec(package):
            rivals |= make()
        else:
            absent.append(f"{package} is not installed")
    rng = np.random.default_rng(0)
    model = head(rng)
    held_out = draw(2_000, np.full(CLASSES, 1 / CLASSES), rng)
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(held_out).batch(256)
    mine = {name: ours(name, model, batches) for name in ("em", "mean", "bbse")}
    measure(mine, FEW, 1)  # traces the functions
    rows = []
    for count in options.rows:
        others = {
            name: way
            for name, way in rivals.items()
            if count <= FEW or name not in ALL_PAIRS
        }
        whole, *figures = measure(mine | others, count, options.rounds)
        for other in others:
            for what, values in zip(WHAT, figures, strict=True):
                rows.append(
                    pairs.row(
                        f"DATL's weights (em), {count:,} rows: {what}",
                        other,
                        values["em"] / values[other],
                        most=1.0,
                        ours={
                            name: pairs.rounded(np.median(values[name]))
                            for name in mine
                        },
                        theirs=pairs.rounded(np.median(values[other])),
                        seconds_with_forward=pairs.rounded(
                            np.median(whole["em"])
                        ),
                    )
                )
    return {"rows": rows, "absent": absent}


def parser() -> argparse.ArgumentParser:
    """Returns the flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--rows", type=int, nargs="+", default=[FEW, 20_000])
    return flags


def main() -> None:
    """Prints the rows."""
    print(json.dumps(run(parser().parse_args()), indent=1))


if __name__ == "__main__":
    main()
