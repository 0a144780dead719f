"""Estimates the target prior P_t by running a source model over images.

Memory does not grow with the number of images: the mean prediction is a
running sum, and a uniform sample of the predictions serves the estimators and
intervals that need single rows.
"""

import dataclasses
import functools
import warnings

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.datl.estimators import bootstrap as sampling
from tf_transfer.datl.estimators import confusion, label_shift, lift
from tf_transfer.datl.running_rows import RunningRows
from tf_transfer.errors import InputError
from tf_transfer.models.inference import (
    as_batches,
    as_logits,
    check_shape,
    stream_outputs,
)
from tf_transfer.utils import checks, environment, progress, tf_data, weighting

ESTIMATORS = ("mean", "em", "bbse", "lift")
_BATCH = 256
_ONE_CLASS = 0.99
_MANY = 20


@dataclasses.dataclass(frozen=True, eq=False)
class TargetPrior:
    """An estimate of P_t, the share of each source class in the target.

    Attributes:
        prior: P_t, `[C]`, sum 1.
        interval: 95 % bootstrap bounds of every share, `[2, C]`, or None.
        count: number of target images.
        temperature: of the softmax, including the calibration.

    Example:

    >>> prior = np.array([0.75, 0.25])
    >>> TargetPrior(prior, None, count=8, temperature=1.0).prior.tolist()
    [0.75, 0.25]
    """

    prior: np.ndarray
    interval: np.ndarray | None
    count: int
    temperature: float


def count_source_prior(
    dataset: tf.data.Dataset, num_classes: int
) -> np.ndarray:
    """Returns the share of every class in one pass over a labelled dataset.

    It takes O(examples + batches classes) time and O(batch + classes) memory.

    Args:
        dataset: a finite dataset of `(record, label)`, single examples or
            batches.
        num_classes: the number of source classes C.

    Returns:
        P_s, `[C]` float64, sum 1.

    Raises:
        InputError: if the dataset is endless or empty, or a label is out of
            range.

    Example:

    >>> records, labels = ["a", "b", "c", "d"], [0, 1, 1, 1]
    >>> dataset = tf.data.Dataset.from_tensor_slices((records, labels))
    >>> count_source_prior(dataset, num_classes=2).tolist()
    [0.25, 0.75]
    """
    batched = tf_data.check_labelled(dataset)
    tf_data.check_finite(dataset, "source dataset")
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

    In addition to the passes through the model, it takes O(images classes)
    time, and memory for one batch and at most 10,000 predictions. Each
    iteration of `"em"` takes as much time again for these predictions;
    `"bbse"` takes O(classes^2) memory.

    Args:
        model: a source classifier (the generalist), from images to `[B, C]`.
        images: target images, as an array, a `PyDataset`, or a dataset of
            batches of any size; labels are ignored. For a model of several
            inputs, a tuple or dict of arrays, or batches of these.
        source_prior: P_s, `[C]`.
        estimator: `"mean"`, the mean prediction (Ngiam et al. 2018, section
            3); `"em"`, maximum likelihood (Saerens et al. 2002), or
            `"bbse"`, from the confusion matrix (Lipton et al. 2018). The
            last two assume that the target's classes are among the source's.
            `"lift"` compares target with source images class by class, and
            suits a model that knows little of its source; see `lift`.
        temperature: divides the logits; Ngiam et al. use 2.0.
        from_logits: whether the model returns logits or probabilities.
        held_out: batches of source `(images, labels)` that the model was not
            trained on, for `"bbse"` and for calibration; any source images
            for `"lift"`, 2,000 or more.
        calibrate: whether to fit a temperature on `held_out` first.
        bootstrap: samples for the interval; 0 for no interval. For more than
            10,000 images, the interval is that of a sample of 10,000, and so
            wider than necessary. It is of the target images alone, unless
            `"bbse"` is uncertain of the confusion matrix: then held-out
            images are drawn anew, too.

    Returns:
        The estimate, with its interval.

    Raises:
        InputError: if there are no images, a setting is out of range, or the
            model's outputs do not fit `source_prior` or `from_logits`, or
            `"bbse"` gets no held-out images of a source class.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> logits = np.log([[0.9, 0.1], [0.6, 0.4]]).astype(np.float32)
    >>> estimate = estimate_target_prior(model, logits, [0.5, 0.5])
    >>> estimate.prior.round(2).tolist()
    [0.75, 0.25]
    """
    _check(estimator, temperature, held_out, calibrate, bootstrap)
    prior = checks.check_prior(source_prior)
    batches = as_batches(images, model)
    check_shape(model, batches.element_spec, "target images")
    if calibrate:
        temperature *= _calibration(model, held_out, len(prior), from_logits)
    outputs = stream_outputs(model, batches)
    target = RunningRows(
        len(prior), sample=bool(bootstrap) or estimator == "em"
    )
    to_rows = functools.partial(label_shift.softmax, temperature=temperature)
    if estimator == "lift":
        to_rows = _lifts(model, held_out, len(prior), from_logits)
    for logits, _ in _checked(outputs, len(prior), from_logits):
        target.add(to_rows(logits))
    if not target.count:
        raise InputError("The target has no images. Received: 0 images")
    solve, resample = label_shift.mean_prior, None
    if estimator == "em":
        solve = functools.partial(label_shift.em_prior, source_prior=prior)
    elif estimator == "lift":
        solve = functools.partial(lift.lift_prior, source_prior=prior)
    elif estimator == "bbse":
        held = _held_out(model, held_out, len(prior), from_logits)
        solve, resample = _bbse(
            held, target.mean, prior, temperature, bool(bootstrap)
        )
    # Only EM needs single rows; the mean of all rows is enough for the others.
    rows = target.sample if estimator == "em" else target.mean[None]
    found, interval = solve(rows), None
    if bootstrap:
        drawn = sampling.counts(len(target.sample), bootstrap)
        if estimator == "em":
            values = sampling.em_priors(target.sample, drawn, prior, found)
        else:
            means = sampling.means(target.sample, drawn)
            values = (resample or sampling.each(solve))(means)
        interval = sampling.interval(values)
    estimate = TargetPrior(found, interval, target.count, temperature)
    _warn_of_one_class(estimate)
    return estimate


def _check(
    estimator: str,
    temperature: float,
    held_out: tf.data.Dataset | None,
    calibrate: bool,
    bootstrap: int,
) -> None:
    """Raises InputError for settings that are out of range."""
    if estimator not in ESTIMATORS:
        raise InputError(
            f"Unknown estimator; choose one of {', '.join(ESTIMATORS)}. "
            f"Received: {estimator!r}"
        )
    if bootstrap < 0:
        raise InputError(
            f"`bootstrap` must not be negative. Received: {bootstrap=}"
        )
    if not temperature > 0:
        raise InputError(
            f"`temperature` must be positive. Received: {temperature=}"
        )
    if held_out is None and (calibrate or estimator in ("bbse", "lift")):
        raise InputError(
            "Calibration and the estimators bbse and lift need `held_out` "
            f"source images. Received: {estimator=}, {calibrate=}, "
            "held_out=None"
        )


def _warn_of_one_class(estimate: TargetPrior) -> None:
    """Warns if all target images seem to be of one class."""
    largest = estimate.prior.max()
    several = len(estimate.prior) > 1
    if several and largest > _ONE_CLASS and estimate.count >= _MANY:
        progress.warn(
            "Nearly all target images are taken for one source class; do they "
            "have the pixel range and the size that the model was trained on? "
            f"Received: class {estimate.prior.argmax()} with share "
            f"{largest:.3f}"
        )


def _checked(outputs, num_classes: int, from_logits: bool):
    """Yields logits `[B, C]` and labels, after checks of a model's outputs."""
    for rows, labels in outputs:
        if not len(rows):
            continue
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


def _lifts(model, held_out, num_classes: int, from_logits: bool):
    """Returns the function from logits to the lifts over source images."""
    rows = RunningRows(num_classes)
    for logits, _ in _held_out(model, held_out, num_classes, from_logits):
        rows.add(logits)
    return lift.SourceOutputs(rows.sample).lifts


def _bbse(held_out, target_mean, prior, temperature: float, interval: bool):
    """Returns BBSE of rows `[N, C]`, and of mean predictions `[R, C]`.

    The second draws the held-out images anew, unless the confusion matrix is
    certain: then its error is small beside that of the target images.
    """
    matrix = confusion.ConfusionMatrix(len(prior))
    rows = RunningRows(len(prior) + 1, sample=interval)
    for logits, labels in held_out:
        probabilities = label_shift.softmax(logits, temperature)
        matrix.add(probabilities, labels)
        rows.add(np.concatenate([probabilities, labels[:, None]], axis=1))
    solver = confusion.PriorSolver(matrix.joint(prior), prior)

    def solve(rows: np.ndarray) -> np.ndarray:
        return solver.solve(rows.mean(axis=0))

    alone = environment.one_thread()(solve)
    alike = matrix.uncertain(prior)
    if not alike.size:
        return alone, sampling.each(solve)
    sentence = (
        "The `held_out` images are too few or too much alike for the model to "
        f"tell {confusion.name_classes(alike)} apart: the estimate of bbse is "
        "uncertain for these; mean and em need no such images"
    )
    if solver.singular:
        warnings.warn(sentence, stacklevel=3)
    elif not interval:  # which would show it
        progress.warn(sentence)
    weights = alone(target_mean[None]) / np.where(prior > 0, prior, 1)
    predictions, labels = rows.sample[:, :-1], rows.sample[:, -1].astype(int)
    resample = confusion.Resampled(
        matrix, predictions, labels, prior, solver, weights
    )
    return alone, resample


def _calibration(model, held_out, num_classes, from_logits) -> float:
    """Returns the calibration temperature on held-out source images."""
    rows = RunningRows(num_classes + 1)
    pairs = _held_out(model, held_out, num_classes, from_logits)
    for logits, labels in pairs:
        rows.add(np.concatenate([logits, labels[:, None]], axis=1))
    logits, labels = rows.sample[:, :-1], rows.sample[:, -1].astype(int)
    return label_shift.calibration_temperature(logits, labels)
