"""Estimates the target prior P_t by running a source model over images.

Memory is constant in the number of images: the mean prediction is a running
sum, and a uniform sample of the predictions is kept for the estimators and
intervals that need single rows.
"""

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.datl import label_shift
from tf_transfer.datl.diagnostics import bootstrap_interval
from tf_transfer.errors import InputError
from tf_transfer.models.inference import as_logits, stream_outputs
from tf_transfer.utils import checks, weighting

ESTIMATORS = ("mean", "em", "bbse")
_KEPT_ROWS = 10_000
_KEPT_BYTES = 2**28
_BATCH = 256


@dataclasses.dataclass(frozen=True, eq=False)
class TargetPrior:
    """An estimate of P_t.

    Attributes:
        prior: P_t, `[C]`, sum 1.
        interval: 95 % bootstrap bounds of every share, `[2, C]`, or None.
        count: target images used.
        temperature: that softened the predictions, calibration included.

    Example:

    >>> prior = np.array([0.75, 0.25])
    >>> TargetPrior(prior, None, count=8, temperature=1.0).prior.tolist()
    [0.75, 0.25]
    """

    prior: np.ndarray
    interval: np.ndarray | None
    count: int
    temperature: float


class _Rows:
    """A running mean of rows, and a uniform sample of them.

    Args:
        width: length of a row.
        sample: False keeps no rows.
        seed: of the sample.
    """

    def __init__(self, width: int, sample: bool = True, seed: int = 0):
        fits = _KEPT_BYTES // (4 * width)
        self.capacity = max(100, min(_KEPT_ROWS, fits)) if sample else 0
        self._rows = np.empty((self.capacity, width), np.float32)
        self.total = np.zeros(width)
        self.count = 0
        self._rng = np.random.default_rng(seed)

    def add(self, rows: np.ndarray) -> None:
        """Takes in rows `[B, width]` (Vitter's algorithm R)."""
        early = rows[: self.capacity - len(self.kept)]
        self._rows[self.count :][: len(early)] = early
        late = rows[len(early) :]
        seen = self.count + len(rows) - len(late)
        places = self._rng.integers(0, seen + 1 + np.arange(len(late)))
        chosen = places < self.capacity
        self._rows[places[chosen]] = late[chosen]
        self.total += rows.sum(axis=0, dtype=np.float64)
        self.count += len(rows)

    @property
    def kept(self) -> np.ndarray:
        return self._rows[: self.count]

    @property
    def mean(self) -> np.ndarray:
        return self.total / self.count


def as_batches(images: np.ndarray | tf.data.Dataset) -> tf.data.Dataset:
    """Returns a dataset of batches; arrays `[N, H, W, channels]` are cut."""
    if isinstance(images, tf.data.Dataset):
        return images
    return tf.data.Dataset.from_tensor_slices(images).batch(_BATCH)


def count_source_prior(
    dataset: tf.data.Dataset, num_classes: int
) -> np.ndarray:
    """Returns the share of every class in one pass over a labelled dataset.

    O(examples + batches classes) time, O(batch + classes) memory.

    Args:
        dataset: finite; `(record, label)`, single examples or batches.
        num_classes: the number of source classes C.

    Returns:
        P_s, `[C]` float64, sum 1.

    Raises:
        InputError: for an endless or empty dataset, or labels out of range.

    Example:

    >>> records, labels = ["a", "b", "c", "d"], [0, 1, 1, 1]
    >>> dataset = tf.data.Dataset.from_tensor_slices((records, labels))
    >>> count_source_prior(dataset, num_classes=2).tolist()
    [0.25, 0.75]
    """
    batched = checks.check_labelled(dataset)
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            "The source prior needs a dataset that ends. Received: an endless "
            "dataset"
        )
    labels = dataset.map(lambda record, label, *rest: label)
    counts = np.zeros(num_classes)
    for batch in labels if batched else labels.batch(_BATCH):
        shares = weighting.source_prior(batch.numpy(), num_classes)
        counts += shares * len(batch)
    if not counts.any():
        raise InputError("The source dataset is empty. Received: 0 examples")
    return counts / counts.sum()


def estimate_target_prior(
    model: keras.Model,
    images: np.ndarray | tf.data.Dataset,
    source_prior: np.ndarray,
    *,
    estimator: str = "mean",
    temperature: float = 1.0,
    from_logits: bool = True,
    held_out: tf.data.Dataset | None = None,
    calibrate: bool = False,
    bootstrap: int = 100,
) -> TargetPrior:
    """Estimates how often each source class occurs among target images.

    Beyond the passes through the model it takes O(images classes) time, and
    memory for a batch and for at most 10,000 rows of predictions. (Each
    iteration of `"em"` costs as much again for the rows kept, and `"bbse"`
    O(classes^2) memory.)

    Args:
        model: a source classifier (the generalist), from images to `[B, C]`.
        images: target images, as an array or batches of any size; labels are
            ignored.
        source_prior: P_s, `[C]`.
        estimator: `"mean"`, the mean prediction (Ngiam et al. 2018, section
            3); `"em"`, maximum likelihood (Saerens et al. 2002), or
            `"bbse"`, from the confusion matrix (Lipton et al. 2018). The
            last two assume that the target's classes are among the source's.
        temperature: softens the predictions; the paper uses 2.0.
        from_logits: whether the model returns logits or probabilities.
        held_out: batches of source `(images, labels)` the model was not
            trained on, for `"bbse"` and for calibration.
        calibrate: fit a temperature on `held_out` first.
        bootstrap: samples for the interval; 0 for none. Of more than 10,000
            images it is that of the rows kept, wider than need be.

    Returns:
        The estimate, with its interval.

    Raises:
        InputError: for an empty target, settings out of range, or a model
            whose outputs do not fit.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> logits = np.log([[0.9, 0.1], [0.6, 0.4]]).astype(np.float32)
    >>> found = estimate_target_prior(model, logits, [0.5, 0.5])
    >>> found.prior.round(2).tolist()
    [0.75, 0.25]
    """
    if estimator not in ESTIMATORS:
        raise InputError(
            f"Unknown estimator; choose one of {', '.join(ESTIMATORS)}. "
            f"Received: {estimator!r}"
        )
    if not temperature > 0:
        raise InputError(
            f"`temperature` must be positive. Received: {temperature=}"
        )
    if held_out is None and (calibrate or estimator == "bbse"):
        raise InputError(
            "Calibration and the bbse estimator need `held_out` source "
            f"images. Received: {estimator=}, {calibrate=}, held_out=None"
        )
    prior = checks.check_prior(source_prior)
    batches = as_batches(images)
    _check_shape(model, batches)
    if calibrate:
        temperature *= _calibration(model, held_out, len(prior), from_logits)
    outputs = stream_outputs(model, batches)
    target = _Rows(len(prior), sample=bool(bootstrap) or estimator == "em")
    for logits, _ in _checked(outputs, len(prior), from_logits):
        target.add(label_shift.softmax(logits, temperature))
    if not target.count:
        raise InputError("The target has no images. Received: 0 images")
    solve = label_shift.mean_prior
    if estimator == "em":
        solve = functools.partial(label_shift.em_prior, source_prior=prior)
    elif estimator == "bbse":
        seen = _confusion(model, held_out, prior, temperature, from_logits)
        solve = functools.partial(_bbse, confusion=seen, prior=prior)
    # All but EM need no more than the mean of all rows.
    rows = target.kept if estimator == "em" else target.mean[None]
    interval = None
    if bootstrap:
        interval = bootstrap_interval(target.kept, solve, bootstrap)
    return TargetPrior(solve(rows), interval, target.count, temperature)


def _check_shape(model: keras.Model, batches: tf.data.Dataset) -> None:
    """Checks that a dataset's images fit a built model."""
    spec = batches.element_spec
    images = spec[0] if isinstance(spec, tuple) else spec
    # Neither an unbuilt nor a subclassed model knows its shape.
    wanted = getattr(model, "input_shape", None) if model.built else None
    if not images.shape.is_compatible_with(wanted):
        raise InputError(
            f"The model takes images of shape {wanted}. "
            f"Received: target images of shape {tuple(images.shape)}"
        )


def _checked(outputs, num_classes: int, from_logits: bool):
    """Yields logits `[B, C]` and labels of model outputs, after checks."""
    for rows, labels in outputs:
        if rows.shape[1:] != (num_classes,):
            raise InputError(
                f"The model must have {num_classes} outputs, one per source "
                f"class. Received: outputs of shape {rows.shape}"
            )
        yield as_logits(rows, from_logits), labels


def _held_out(model, held_out, num_classes: int, from_logits: bool):
    """Yields logits and labels of held-out source images."""
    empty = True
    outputs = stream_outputs(model, held_out)
    for logits, labels in _checked(outputs, num_classes, from_logits):
        if labels is None:
            raise InputError(
                "`held_out` must yield (images, labels). Received: no labels"
            )
        checks.check_labels(labels, num_classes)
        empty = False
        yield logits, labels
    if empty:
        raise InputError("`held_out` has no images. Received: 0 images")


def _bbse(rows, *, confusion, prior) -> np.ndarray:
    return label_shift.bbse_prior(rows.mean(axis=0), confusion, prior)


def _confusion(model, held_out, prior, temperature, from_logits) -> np.ndarray:
    """Returns the soft confusion matrix of `weights.bbse_prior`, `[C, C]`."""
    confusion = np.zeros((len(prior), len(prior)))
    pairs = _held_out(model, held_out, len(prior), from_logits)
    for logits, labels in pairs:
        np.add.at(confusion.T, labels, label_shift.softmax(logits, temperature))
    seen = confusion.sum(axis=0)
    return prior * np.divide(
        confusion, seen, out=np.zeros_like(confusion), where=seen > 0
    )


def _calibration(model, held_out, num_classes, from_logits) -> float:
    """Returns the calibration temperature on held-out source images."""
    sample = _Rows(num_classes + 1)
    pairs = _held_out(model, held_out, num_classes, from_logits)
    for logits, labels in pairs:
        sample.add(np.concatenate([logits, labels[:, None]], axis=1))
    logits, labels = sample.kept[:, :-1], sample.kept[:, -1].astype(int)
    return label_shift.calibration_temperature(logits, labels)
