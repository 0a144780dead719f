"""Estimates the target prior P_t by running a source model over images.

Memory is constant in the number of images: the mean prediction is a running
sum, and a uniform sample of the predictions is kept for the estimators and
intervals that need single rows.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tf_transfer import weights
from tf_transfer.distribution import stream_outputs
from tf_transfer.errors import InputError

ESTIMATORS = ("mean", "em", "bbse")
_KEPT_ROWS = 10_000
_KEPT_BYTES = 2**28
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class TargetPrior:
    """An estimate of P_t.

    Attributes:
        prior: P_t, `[C]`, sum 1.
        interval: 95 % bootstrap bounds of every share, `[2, C]`.
        count: target images used.
        temperature: that softened the predictions, calibration included.
    """

    prior: np.ndarray
    interval: np.ndarray
    count: int
    temperature: float


class _Predictions:
    """A running mean of probability rows, and a uniform sample of them."""

    def __init__(self, num_classes: int, seed: int = 0):
        fits = _KEPT_BYTES // (4 * num_classes)
        self.capacity = max(100, min(_KEPT_ROWS, fits))
        self.rows = np.empty((0, num_classes), np.float32)
        self.total = np.zeros(num_classes)
        self.count = 0
        self._rng = np.random.default_rng(seed)

    def add(self, probabilities: np.ndarray) -> None:
        """Takes in rows `[B, C]` (Vitter's algorithm R for the sample)."""
        free = self.capacity - len(self.rows)
        self.rows = np.concatenate(
            [self.rows, probabilities[:free].astype(np.float32)]
        )
        late = probabilities[free:] if free else probabilities
        seen = self.count + len(probabilities) - len(late)
        places = self._rng.integers(0, seen + 1 + np.arange(len(late)))
        kept = places < self.capacity
        self.rows[places[kept]] = late[kept]
        self.total += probabilities.sum(axis=0)
        self.count += len(probabilities)

    @property
    def mean(self) -> np.ndarray:
        return self.total / self.count


def _as_logits(outputs: np.ndarray, from_logits: bool) -> np.ndarray:
    """Returns logits of a model's outputs `[B, C]`, after checking them."""
    if not np.isfinite(outputs).all():
        raise InputError(
            "The model's outputs for the target images must be finite. "
            f"Received: {outputs[~np.isfinite(outputs)][0]}"
        )
    sums_to_one = np.abs(outputs.sum(axis=-1) - 1).max() < 1e-3
    probabilities = sums_to_one and outputs.min() >= 0
    if from_logits == probabilities and outputs.shape[-1] > 1:
        kind = "probabilities" if probabilities else "logits"
        raise InputError(
            f"The model seems to return {kind}; set `from_logits` to match. "
            f"Received: {from_logits=}"
        )
    return outputs if from_logits else np.log(np.maximum(outputs, 1e-12))


def as_batches(images: np.ndarray | tf.data.Dataset) -> tf.data.Dataset:
    """Returns a dataset of batches; arrays `[N, H, W, channels]` are cut."""
    if isinstance(images, tf.data.Dataset):
        return images
    return tf.data.Dataset.from_tensor_slices(images).batch(_BATCH)


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
) -> TargetPrior:
    """Estimates how often each source class occurs among target images.

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

    Raises:
        InputError: for an empty target, settings out of range, or a model
            whose outputs do not fit.
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
    prior = np.asarray(source_prior, np.float64)
    if calibrate:
        temperature *= _calibration(model, held_out, len(prior), from_logits)
    target = _collect(
        model, as_batches(images), prior, temperature, from_logits
    )
    solve = _solver(estimator, model, held_out, prior, temperature, from_logits)
    return TargetPrior(
        prior=target.mean if estimator == "mean" else solve(target.rows),
        interval=weights.bootstrap_interval(target.rows, solve),
        count=target.count,
        temperature=temperature,
    )


def _collect(model, batches, prior, temperature, from_logits) -> _Predictions:
    """Runs the model over the target images."""
    target = _Predictions(len(prior))
    for outputs, _ in stream_outputs(model, batches):
        if outputs.shape[1:] != prior.shape:
            raise InputError(
                f"The model must have {len(prior)} outputs, one per source "
                f"class. Received: outputs of shape {outputs.shape}"
            )
        logits = _as_logits(outputs, from_logits)
        target.add(weights.softmax(logits, temperature))
    if not target.count:
        raise InputError("The target has no images. Received: 0 images")
    return target


def _solver(estimator, model, held_out, prior, temperature, from_logits):
    """Returns the map from prediction rows `[N, C]` to P_t `[C]`."""
    if estimator == "mean":
        return weights.mean_prior
    if estimator == "em":
        return lambda rows: weights.em_prior(rows, prior)
    confusion = np.zeros((len(prior), len(prior)))
    for outputs, labels in stream_outputs(model, held_out):
        rows = weights.softmax(_as_logits(outputs, from_logits), temperature)
        np.add.at(confusion.T, labels, rows)
    seen = confusion.sum(axis=0)
    columns = np.divide(
        confusion, seen, out=np.zeros_like(confusion), where=seen > 0
    )
    columns *= prior
    return lambda rows: weights.bbse_prior(rows.mean(axis=0), columns, prior)


def _calibration(model, held_out, num_classes, from_logits) -> float:
    """Returns the calibration temperature on held-out source images."""
    outputs, labels = zip(*stream_outputs(model, held_out), strict=True)
    kept = max(1, min(_KEPT_ROWS, _KEPT_BYTES // (4 * num_classes)))
    logits = _as_logits(np.concatenate(outputs)[:kept], from_logits)
    return weights.calibration_temperature(
        logits, np.concatenate(labels)[:kept]
    )
