"""Exports the chosen model of a finished run, from its folder alone."""

import os
import pathlib
from typing import Any

import numpy as np

from tf_transfer.commands import refitting
from tf_transfer.commands.teaching import Taught, load
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.errors import InputError
from tf_transfer.experiment import statistics
from tf_transfer.experiment.records import data_info, loaded_data
from tf_transfer.experiment.records.data_info import DataInfo
from tf_transfer.experiment.records.results import Result
from tf_transfer.experiment.records.run_data import FinishedRun
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.export import ensembles, litert, onnx, saved_model

FORMATS = ("saved_model", "tflite", "onnx")
_REPRESENTATIVE = 200


def write_data(
    folder: RunFolder,
    source: ImageData,
    target: ImageData,
    split: TargetSplit,
    names: dict[str, str | None],
) -> None:
    """Writes `data.json`: what a server needs to know of the target.

    Args:
        folder: the run's folder.
        source: the source images that were trained on.
        target: the whole target.
        split: its parts for the first seed.
        names: of source and target; None if they were given as arrays.
    """
    parts = [source, split.labelled, split.validation, split.test]
    counts = [len(part.labels) for part in parts]
    others = split.unlabelled
    counts.append(0 if others is None else len(others.labels))
    info = DataInfo(
        **names,
        class_names=target.class_names,
        image_shape=target.images.shape[1:],
        frame=target.frame,
        counts=dict(zip(data_info.COUNTED, counts, strict=True)),
    )
    folder.write(data_info.NAME, info.to_json())


def export(
    run: str | os.PathLike,
    method: str | None = None,
    kind: str = "saved_model",
    int8: bool = False,
    out: str | os.PathLike | None = None,
    ensemble: bool = False,
    refit_on_all: bool = False,
) -> tuple[Result, pathlib.Path]:
    """Exports a method's model.

    For the method that `compare` has chosen, it is the one that all seeds have
    taught, see `teaching`; for another method, that of the first seed. Every
    seed's model was trained with all labelled images of its seed.

    Args:
        run: the run's folder.
        method: the method; that of `statistics.choose` if None.
        kind: one of `FORMATS`.
        int8: quantise the model, for `tflite`.
        out: the folder of the versions; by default `export`, `tflite` or
            `onnx` in the run's folder.
        ensemble: export one model with the mean of the probabilities of all
            seeds' models; it takes as many times longer to serve.
        refit_on_all: train the first seed's model again, with the test images
            as well. Nothing is left to test it with: it is expected to be at
            least as accurate as the run's models.

    Returns:
        The result of the first seed, and the new version's folder.

    Raises:
        InputError: if the folder holds no finished run, or not this method;
            if the data that a refit needs cannot be loaded.
    """
    _check_format(kind, int8)
    if ensemble and refit_on_all:
        raise InputError(
            "A refit makes one model of one seed. Received: both an ensemble "
            "and a refit"
        )
    finished = FinishedRun.read(run)
    result = choose(finished, method)
    members = members_of(finished, result) if ensemble else [result]
    trained, taught = None, None
    if not (ensemble or refit_on_all):
        taught = taught_model(finished, result)
    if refit_on_all:
        model, trained = refitting.refit(finished, result)
    elif ensemble:
        models = [load(finished, each) for each in members]
        model = ensembles.mean_probabilities(models)
    else:
        model = load(finished, None if taught else result)
    name = "export" if kind == "saved_model" else kind
    arguments = {
        "path": finished.files.below(name) if out is None else out,
        "class_names": finished.data.class_names,
        "preprocessing": finished.data.frame,
        "provenance": _provenance(finished, members, trained, taught),
    }
    if kind == "onnx":
        return result, onnx.export_onnx(model, **arguments)
    if kind == "tflite":
        images = representative_images(finished, result) if int8 else None
        return result, litert.export_tflite(
            model, representative=images, **arguments
        )
    return result, saved_model.export_serving(model, **arguments)


def _check_format(kind: str, int8: bool) -> None:
    if kind not in FORMATS:
        raise InputError(
            f"The format must be {', '.join(FORMATS)}. Received: {kind!r}"
        )
    if int8 and kind != "tflite":
        raise InputError(f"int8 is for the format tflite. Received: {kind!r}")


def choose(run: FinishedRun, method: str | None = None) -> Result:
    """Returns the result whose model is exported.

    Args:
        run: a finished run.
        method: the method; that of `statistics.choose` if None.

    Raises:
        InputError: if the run does not have the method.
    """
    methods = run.config.methods
    if method is not None and method not in methods:
        raise InputError(
            f"The run has the methods {', '.join(methods)}. "
            f"Received: {method!r}"
        )
    if method is None:
        method = statistics.choose(run.results, methods)
    return statistics.first_seed(run.results, method)


def taught_model(run: FinishedRun, result: Result) -> Taught | None:
    """Returns what is known of the model that a method's seeds have taught."""
    taught = Taught.read(run.files)
    return taught if taught and taught.method == result.method else None


def members_of(run: FinishedRun, result: Result) -> list[Result]:
    """Returns the results of a result's method, by seed."""
    results = [r for r in run.results if r.method == result.method]
    return sorted(results, key=lambda each: each.seed)


def _provenance(
    run: FinishedRun,
    members: list[Result],
    trained: int | None = None,
    taught: Taught | None = None,
) -> dict[str, Any]:
    """Returns what is known of a model that is made of some seeds' models.

    The expected accuracy is that of one seed's model. What holds for a single
    seed is None for an ensemble, and what was measured for a refit.

    Args:
        run: the finished run.
        members: the results of the seeds.
        trained: the number of images of a refit, or None.
        taught: what is known of the model if all seeds taught it, or None.
    """
    result = members[0]
    tests = [each.test.accuracy for each in members_of(run, result)]
    mean, interval = statistics.mean_interval(tests)
    single = not members[1:] and trained is None and taught is None
    weights = result.weights if single else None
    of_seed = {
        "seed": result.seed,
        "validation": result.validation.to_json(),
        "test": result.test.to_json(),
        "learning_rate": result.learning_rate,
    }
    return {
        "method": result.method,
        "expected_accuracy": {
            "mean": mean,
            "interval": interval if len(tests) > 1 else None,
            "seeds": len(tests),
        },
        "ensemble": [each.seed for each in members] if members[1:] else None,
        "refit_on_all": trained,
        "taught_by": taught and taught.seeds,
        **(of_seed if single else dict.fromkeys(of_seed)),
        **({"test": taught.test.to_json()} if taught else {}),
        "head": result.head,
        "source": run.data.source,
        "target": run.data.target,
        "fingerprints": run.fingerprints,
        "source_classes": None
        if weights is None
        else run.weight_table.class_names,
        "importance_weights": weights,
        "trained_with": result.versions,
    }


def representative_images(run: FinishedRun, result: Result) -> np.ndarray:
    """Returns labelled target images of the run, framed, to quantise by.

    Raises:
        InputError: if the target cannot be loaded, or has changed since.
    """
    if run.data.target is None:
        raise InputError(
            "int8 needs the target's images, and the run was given them as "
            "arrays; use `export_tflite`. Received: --int8"
        )
    target = loaded_data.reload(run, "target")
    split = loaded_data.split(run, target, result.seed)
    return split.labelled.images[:_REPRESENTATIVE]
