"""The results of a run: scores, and predictions for the test images."""

import dataclasses
import io
import math
import os
import pathlib
from typing import Any

import numpy as np
import scipy.special

from tf_transfer.errors import InputError
from tf_transfer.utils.storage.archives import DAMAGED, read_npz
from tf_transfer.utils.storage.folders import Folder
from tf_transfer.utils.storage.json_fields import Fields, is_list, is_number

NAME = "results.json"
_MOST = 2**29  # bytes of it
_MOST_PREDICTIONS = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a model classifies some images.

    Attributes:
        accuracy: in 0..1.
        mean_per_class_accuracy: in 0..1; None in older files.
        loss: mean cross-entropy in nats.
    """

    accuracy: float
    mean_per_class_accuracy: float | None = None
    loss: float

    @classmethod
    def of(cls, logits: np.ndarray, labels: np.ndarray) -> "Scores":
        """Scores a model's outputs.

        Args:
            logits: `[N, C]`.
            labels: `[N]` integers.
        """
        correct = logits.argmax(axis=-1) == labels
        per_class = [correct[labels == c].mean() for c in np.unique(labels)]
        log_probs = scipy.special.log_softmax(logits, axis=-1)
        losses = -log_probs[np.arange(len(labels)), labels]
        return cls(
            accuracy=float(correct.mean()),
            mean_per_class_accuracy=float(np.mean(per_class)),
            loss=float(losses.mean()),
        )

    @classmethod
    def from_fields(cls, fields: Fields) -> "Scores":
        """Reads an entry of `results.json`; raises InputError if it fails."""
        return cls(
            accuracy=fields.number("accuracy"),
            mean_per_class_accuracy=fields.number(
                "mean_per_class_accuracy", None
            ),
            loss=fields.number("loss"),
        )

    def to_json(self) -> dict[str, float]:
        """Returns the entry of `results.json`."""
        return _present(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One method and seed of a run.

    Attributes:
        method, seed: which.
        test: scores on the test images.
        validation: scores on the validation images, of a model that was
            trained without them.
        learning_rate: of fine-tuning, chosen on the validation images.
        seconds: time that the method took, without the generalist.
        history: by stage and name, a list of values over the epochs; the
            class weights of L2TL are a list of lists, `[epochs + 1, C]`.
        weights: the class weights of the method, `[C]`, if it has any.
        scale: of the source loss, for methods that learn it.
        head: how the target head started; None in older files.
        versions: of the packages, by name.
        machine: number of cores and architecture; None in older files.
        weight_area: ROC AUC of the weights, if relevant classes are named.
        failed_rates: by stage, the learning rates at which its model had
            learned nothing, before it was trained at a lower one.

    Example:

    >>> scores = {"accuracy": 0.9, "loss": 0.3}
    >>> result = Result.from_json({
    ...     "method": "datl", "seed": 0, "test": scores, "validation": scores,
    ...     "learning_rate": 0.02, "seconds": 60.0, "history": {},
    ...     "versions": {"keras": "3.15.1"}})
    >>> result.test.accuracy
    0.9
    >>> result.to_json()["validation"]
    {'accuracy': 0.9, 'loss': 0.3}
    """

    # In the order of the file.
    method: str
    seed: int
    test: Scores
    validation: Scores
    learning_rate: float
    seconds: float
    history: dict[str, dict[str, list]]
    weights: list[float] | None = None
    scale: float | None = None
    head: str | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    machine: str | None = None
    weight_area: float | None = None
    failed_rates: dict[str, list[float]] = dataclasses.field(
        default_factory=dict
    )

    @classmethod
    def from_json(
        cls,
        content: Any,
        name: str = "result",
        path: str | os.PathLike | None = None,
    ) -> "Result":
        """Reads an entry of `results.json`.

        Args:
            content: the entry.
            name: its place in the file, for the error message.
            path: the file, for the error message.

        Raises:
            InputError: if a field is absent or has another type.
        """
        fields = Fields(content, name, path)
        versions = fields.object("versions")
        failed = fields.object("failed_rates", {})
        return cls(
            method=fields.text("method"),
            seed=fields.integer("seed"),
            test=Scores.from_fields(fields.object("test")),
            validation=Scores.from_fields(fields.object("validation")),
            learning_rate=fields.number("learning_rate"),
            seconds=fields.number("seconds"),
            history=_history(fields.object("history")),
            weights=fields.numbers("weights", None),
            scale=fields.number("scale", None),
            head=fields.text("head", None),
            versions={key: versions.text(key) for key in versions.content},
            machine=fields.text("machine", None),
            weight_area=fields.number("weight_area", None),
            failed_rates={key: failed.numbers(key) for key in failed.content},
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of `results.json`; what is None is left out."""
        content = vars(self) | {
            "test": self.test.to_json(),
            "validation": self.validation.to_json(),
            "failed_rates": self.failed_rates or None,
        }
        return _present(content)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The predictions of one model for the test images.

    Attributes:
        label: `[N]` the true classes.
        predicted: `[N]` the predicted classes.
        probability: `[N]` of the predicted classes, in 0..1.
    """

    label: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray

    @classmethod
    def of(cls, logits: np.ndarray, labels: np.ndarray) -> "Predictions":
        """Returns the predictions that a model's outputs make.

        Args:
            logits: `[N, C]`.
            labels: `[N]` integers.

        Example:

        >>> predictions = Predictions.of(np.array([[0.0, 1.0]]), np.array([0]))
        >>> predictions.predicted, predictions.probability.round(2)
        (array([1], dtype=int32), array([0.73], dtype=float32))
        """
        probabilities = scipy.special.softmax(logits, axis=-1)
        return cls(
            label=np.asarray(labels, np.int32),
            predicted=logits.argmax(axis=-1).astype(np.int32),
            probability=probabilities.max(axis=-1).astype(np.float32),
        )

    def write(self, path: pathlib.Path) -> None:
        """Writes an archive of NumPy arrays."""
        np.savez_compressed(path, **vars(self))

    @classmethod
    def read(
        cls,
        folder: Folder,
        name: str,
        classes: int,
        images: int | None = None,
    ) -> "Predictions":
        """Reads a file of predictions.

        Args:
            folder: of the run.
            name: of the file in it.
            classes: number of target classes.
            images: number of test images, if they are at hand.

        Raises:
            InputError: if the file cannot be read, or its arrays do not fit.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        path = folder.path / name
        try:
            content = io.BytesIO(folder.read(name, _MOST_PREDICTIONS) or b"")
            found = read_npz(content, names, _MOST_PREDICTIONS)
            arrays = [found[name] for name in names]
        except DAMAGED as error:
            raise InputError(
                f"The file cannot be read. Received: {path}"
            ) from error
        label, predicted, probability = arrays
        count = len(label) if images is None and label.ndim else images
        if not count or {array.shape for array in arrays} != {(count,)}:
            shapes = ", ".join(str(array.shape) for array in arrays)
            size = "one length" if images is None else f"length {images}"
            raise InputError(
                f"The arrays {', '.join(names)} must have {size}. "
                f"Received: shapes {shapes} in {path}"
            )
        for name, values in (("label", label), ("predicted", predicted)):
            is_class = np.issubdtype(values.dtype, np.integer)
            if not is_class or values.min() < 0 or values.max() >= classes:
                raise InputError(
                    f"`{name}` must hold integers in [0, {classes}). "
                    f"Received: {_extent(values)} in {path}"
                )
        is_float = np.issubdtype(probability.dtype, np.floating)
        if not is_float or not ((probability >= 0) & (probability <= 1)).all():
            raise InputError(
                "`probability` must hold numbers in 0..1. "
                f"Received: {_extent(probability)} in {path}"
            )
        return cls(*arrays)


def _extent(values: np.ndarray) -> str:
    """Describes an array for an error message."""
    if not np.issubdtype(values.dtype, np.number):
        return f"dtype {values.dtype}"
    return f"{values.dtype} from {values.min()} to {values.max()}"


def read(run: Folder) -> list[Result]:
    """Returns the results of a run, or none if the file is absent.

    Args:
        run: the run's folder.

    Raises:
        InputError: if the file cannot be read, or holds something else.
    """
    return [
        Result.from_json(entry, f"results[{i}]", run.path / NAME)
        for i, entry in enumerate(run.read_json(NAME, list, _MOST) or [])
    ]


def _present(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}


def _history(fields: Fields) -> dict[str, dict[str, list]]:
    """Returns the logs of every stage; a null in them becomes NaN."""
    history = {}
    for stage in fields.content:
        logs = fields.object(stage)
        history[stage] = {}
        for name, values in logs.content.items():
            if is_list(values, _is_value):
                values = [_value(value) for value in values]
            elif is_list(values, _is_row) and len({*map(len, values)}) == 1:
                values = [[_value(value) for value in row] for row in values]
            else:
                logs.refuse(name, "a list of numbers, or of equally long lists")
            history[stage][name] = values
    return history


def _is_value(value: Any) -> bool:
    """Returns whether a value can stand in a log: a number or null."""
    # NaN and infinity may be there, but no integer beyond all floats.
    return value is None or type(value) is float or is_number(value)


def _is_row(value: Any) -> bool:
    return is_list(value, _is_value)


def _value(value: float | None) -> float:
    return math.nan if value is None else value
