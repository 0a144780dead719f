"""Exports the chosen model of a finished run, from its folder alone."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from tf_transfer.data import framing
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.experiment import run_data, statistics, weights_file
from tf_transfer.experiment.run_folder import FinishedRun, RunFolder, misfit
from tf_transfer.experiment.weights_file import WeightTable
from tf_transfer.export import litert, onnx, saved_model
from tf_transfer.models import classifiers

FORMATS = ("saved_model", "tflite", "onnx")
_REPRESENTATIVE = 200


def write_data(
    folder: RunFolder, target: ImageData, names: dict[str, str | None]
) -> None:
    """Writes `data.json`: what a server needs to know of the target.

    Args:
        folder: the run's.
        target: the whole target.
        names: of source and target; None if they were given as arrays.
    """
    folder.write(
        "data.json",
        {
            **names,
            "class_names": target.class_names,
            "image_shape": target.images.shape[1:],
            "frame": target.frame and dataclasses.asdict(target.frame),
        },
    )


class Release:
    """The chosen model of a finished run.

    Args:
        run: the run's folder.
        method: whose model; that of `comparison.choose` if None. Of its seeds
            it is always the best by validation accuracy.

    Raises:
        InputError: if the folder holds no finished run, or not this method.
    """

    def __init__(self, run: str | os.PathLike, method: str | None = None):
        self.run = FinishedRun.read(run)
        try:
            self.result = self._choose(method)
            self.frame = _frame(self.run.data["frame"])
            self.shape = tuple(self.run.data["image_shape"])
            self.model = self._load()
            self.provenance = self._provenance()
        except (KeyError, TypeError, AttributeError) as error:
            raise misfit(self.run.path, error) from error

    def _choose(self, method: str | None) -> dict[str, Any]:
        """Returns the result whose model is exported."""
        methods, results = self.run.config["methods"], self.run.results
        if method is not None and method not in methods:
            raise InputError(
                f"The run has the methods {', '.join(methods)}. "
                f"Received: {method!r}"
            )
        if method is None:
            method = statistics.choose(results, methods)
        return statistics.best_seed(results, method)

    def _load(self):
        name = f"{self.result['method']}-{self.result['seed']}.keras"
        path = self.run.path / "checkpoints" / name
        classes = len(self.run.data["class_names"])
        return classifiers.load_classifier(str(path), self.shape, classes)

    def _provenance(self) -> dict[str, Any]:
        names = ("method", "seed", "validation", "test", "learning_rate")
        return {
            **{name: self.result[name] for name in names},
            "head": self.result.get("head"),
            "source": self.run.data["source"],
            "target": self.run.data["target"],
            "fingerprints": self.run.config["fingerprints"],
            **self._importance(),
            "trained_with": self.result["versions"],
        }

    def _importance(self) -> dict[str, list]:
        """Returns the source classes and the weights that were used."""
        weights = self.result.get("weights")
        names = None
        if weights is not None:
            path = self.run.path / weights_file.NAME
            names = WeightTable.read_csv(path).class_names
        return {"source_classes": names, "importance_weights": weights}

    def write(
        self,
        kind: str = "saved_model",
        int8: bool = False,
        out: str | os.PathLike | None = None,
    ) -> pathlib.Path:
        """Exports the model, and returns the folder of the new version.

        Args:
            kind: one of `FORMATS`.
            int8: quantise, for `tflite`.
            out: the folder of the versions; by default `export`, `tflite` or
                `onnx` in the run's folder.
        """
        if kind not in FORMATS:
            raise InputError(
                f"The format must be {', '.join(FORMATS)}. Received: {kind!r}"
            )
        if int8 and kind != "tflite":
            raise InputError(
                f"int8 is for the format tflite. Received: {kind!r}"
            )
        name = "export" if kind == "saved_model" else kind
        given = {
            "path": self.run.path / name if out is None else out,
            "class_names": self.run.data["class_names"],
            "preprocessing": self.frame,
            "provenance": self.provenance,
        }
        if kind == "onnx":
            return onnx.export_onnx(self.model, **given)
        if kind == "tflite":
            images = self._representative() if int8 else None
            return litert.export_tflite(
                self.model, representative=images, **given
            )
        return saved_model.export_serving(self.model, **given)

    def _representative(self) -> np.ndarray:
        """Returns labelled target images of the run, framed."""
        if self.run.data["target"] is None:
            raise InputError(
                "int8 needs the target's images, and the run was given them as "
                "arrays; use `export_tflite`. Received: --int8"
            )
        target = run_data.reload(self.run, "target")
        split = run_data.split(self.run, target, self.result["seed"])
        return split.labelled.images[:_REPRESENTATIVE]


def _frame(found: dict[str, Any] | None) -> framing.Frame | None:
    if found is None:
        return None
    look = framing.Appearance(**found["appearance"])
    return framing.Frame(found["size"], found["channels"], look)
