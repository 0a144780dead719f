"""Scores for the examples of a source, from an encoder's features.

The features of a sample of the source, and of the target, give a classifier of
target against source, and if wanted one of the source's labels. Both then
score all examples as they stream by; only their scores are kept.
"""

import dataclasses
import os
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.data.image_data import ImageData
from tf_transfer.datl.examples.checkpoint import ScoresCheckpoint
from tf_transfer.datl.running_rows import RunningRows
from tf_transfer.errors import InputError
from tf_transfer.models.inference import as_batches, stream_features
from tf_transfer.utils import checks, environment, tf_data

_BATCH = 512
_WIDEST = 2**13  # features
_FORMAT = 3  # of what a checkpoint holds


@dataclasses.dataclass(frozen=True, eq=False)
class ExampleScores:
    """What an encoder's features say about each of N source examples.

    Attributes:
        ratios: the densities' ratios P_t(x) / P_s(x), `[N]` float32.
        beliefs: probabilities that the given labels are right, `[N]` float32;
            None if they were not asked for.
        likely_labels: what the labels should be, `[N]` int32; they differ from
            the given ones where these are doubted. None likewise.

    Example:

    >>> scores = ExampleScores(
    ...     ratios=np.array([0.5, 1.5, 1.0]),
    ...     beliefs=np.array([0.9, 0.8, 0.1]),
    ...     likely_labels=np.array([0, 1, 1]))
    >>> np.flatnonzero(scores.likely_labels != [0, 1, 2])
    array([2])
    """

    ratios: np.ndarray
    beliefs: np.ndarray | None = None
    likely_labels: np.ndarray | None = None


def score_examples(
    encoder: keras.Model,
    source: ImageData | tf.data.Dataset,
    target: np.ndarray | tf.data.Dataset,
    *,
    num_examples: int | None = None,
    beliefs: bool = False,
    sample: int = 10_000,
    folds: int = 5,
    seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
) -> ExampleScores:
    """Scores each source example by features, for `ExampleWeights`.

    The ratio P_t(x) / P_s(x) is the odds of a logistic regression of target
    against source features, both counted equally (Sugiyama, Suzuki and
    Kanamori 2012, chapter 4): above 1, the target looks like that more often
    than the source. Cross-validation chooses its regularisation. The belief in
    a label is the probability that it is right, if some are drawn by chance and
    the others as a calibrated discriminant analysis says; a label is doubted
    if this is below a half and another class is likelier. What a fit was made
    from is scored by fits on other folds.

    Each image passes through the encoder once. Memory is for the features of
    `sample` images and about 10 bytes per example, with beliefs 18. A dataset
    is read twice, as its sample comes first.

    Args:
        encoder: a model from images to features `[B, D]`, such as the part of
            a generalist below its head.
        source: images, or batches of `(images, labels)`, in the order in which
            they will be weighted. Labels are needed for beliefs alone.
        target: target images, as `ImageData`, an array or batches; labels are
            ignored. An array must have the range of the source's images, which
            is 0..1 for `ImageData`.
        num_examples: the number of source examples N, for a dataset.
        beliefs: whether to score the labels, too.
        sample: source images from which the classifiers are made, and target
            images at most, which are never more than 10,000.
        folds: of the cross-validations.
        seed: of sample and folds.
        checkpoint: a file that keeps what is scored, in a folder that exists;
            the same call continues with it. None for none.

    Returns:
        The scores, in the order of the source.

    Raises:
        InputError: if there are fewer than two images of source or target, if
            features are not finite or above 8,192, if labels are missing, if
            the dataset has fewer than `num_examples`, or if the checkpoint
            cannot be used.
        InvalidArgumentError: if the dataset has more than `num_examples`.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> encoder = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> images = rng.normal(size=(200, 2)).astype(np.float32)
    >>> source = tf.data.Dataset.from_tensor_slices(images).batch(50)
    >>> scores = score_examples(encoder, source, images[:100] + 1,
    ...                         num_examples=200)
    >>> right = images.sum(axis=1) > 1  # the target's side
    >>> bool(scores.ratios[right].min() > scores.ratios[~right].max() / 2)
    True
    """
    # They take a second to import.
    from tf_transfer.datl.examples.beliefs import LabelBeliefs
    from tf_transfer.datl.examples.density_ratio import DensityRatio

    count = _count(source, num_examples)
    if sample < 2 or folds < 2:
        raise InputError(
            f"`sample` and `folds` must be at least 2. Received: {sample=}, "
            f"{folds=}"
        )
    checks.check_seed(seed)
    first, rest = _drawn(count, sample, seed)
    batches = [*_features(encoder, source, first, count, beliefs)]
    features, labels = map(np.concatenate, zip(*batches, strict=True))
    ratio = DensityRatio(
        features,
        _of_target(encoder, target, sample, seed),
        folds=folds,
        seed=seed,
    )
    judge = None
    if beliefs:
        judge = LabelBeliefs(features, labels, folds=folds, seed=seed)
    kinds = (np.float32, np.float32, np.int32)[: 3 if beliefs else 1]
    columns = [np.zeros(count, kind) for kind in kinds]
    _put(columns, first, ratio.of_sample, judge and judge.of_sample)
    settings = _FORMAT, count, sample, folds, seed, beliefs
    saved = ScoresCheckpoint(
        checkpoint,
        ratio.coefficients,
        columns,
        rest,
        key=(settings, labels.tobytes()),
    )
    done = saved.restore()
    with environment.one_thread():
        for features, labels in _features(
            encoder, source, rest[done:], count, beliefs
        ):
            places = rest[done : done + len(features)]
            judged = judge and judge(features, labels)
            _put(columns, places, ratio(features), judged)
            done += len(features)
            saved.save(done)
    saved.save(done, at_once=True)
    return ExampleScores(*columns)


def _drawn(count: int, sample: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a sample of N numbers; returns it, and the others, in order."""
    rng = np.random.default_rng([seed, 0])
    drawn = rng.choice(count, min(sample, count), False, shuffle=False)
    small = np.int32 if count < 2**31 else np.int64
    first = np.sort(drawn).astype(small)
    return first, np.delete(np.arange(count, dtype=small), first)


def _put(
    columns: list[np.ndarray],
    places: np.ndarray,
    ratios: np.ndarray,
    judged: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Writes the scores of some examples."""
    for column, values in zip(columns, (ratios, *(judged or ())), strict=True):
        column[places] = values


def _count(
    source: ImageData | tf.data.Dataset, num_examples: int | None
) -> int:
    """Returns the number of source examples."""
    if isinstance(source, ImageData):
        known = len(source.labels)
        num_examples = known if num_examples is None else num_examples
        if num_examples != known:
            raise InputError(
                f"`num_examples` must be that of the source, {known}. "
                f"Received: {num_examples}"
            )
    elif not isinstance(source, tf.data.Dataset):
        raise InputError(
            "The source must be ImageData (see `load` and `from_dataset`), or "
            "a tf.data.Dataset of batches. "
            f"Received: {type(source).__name__}"
        )
    elif num_examples is None:
        raise InputError(
            "A dataset does not know its number of examples; give "
            "`num_examples`. Received: None"
        )
    count = checks.check_class_count(num_examples, "num_examples")
    if count < 2:
        raise InputError(
            f"The source must have two images or more. Received: {count}"
        )
    return count


def _features(
    encoder: keras.Model,
    source: ImageData | tf.data.Dataset,
    places: np.ndarray,
    count: int,
    labels: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields features and labels of the examples at some places, in order."""
    if not len(places):
        return
    if isinstance(source, ImageData):
        numbers = tf.data.Dataset.from_tensor_slices(places)
        batches = source.gather(numbers.batch(_BATCH))
    else:
        batches = _at(_labelled(source, labels), places, count)
    found = 0
    for features, of_batch in stream_features(encoder, batches):
        if len(features):
            _check_width(features)
            found += len(features)
            yield features, of_batch
    if found != len(places):
        raise InputError(
            f"`num_examples` must be the number of source examples, {count}. "
            f"Received: a dataset that ends before the {places[found] + 1}th"
        )


def _labelled(source: tf.data.Dataset, needed: bool) -> tf.data.Dataset:
    """Returns batches of images and labels, which are 0 if there are none."""
    tf_data.check_finite(source, "source dataset")
    spec = source.element_spec
    if isinstance(spec, tuple) and len(spec) > 1:
        if needed:
            tf_data.check_labelled(
                source, form="(images, class numbers)", batched=True
            )
            return source.map(lambda images, labels, *rest: (images, labels))
    elif needed:
        raise InputError(
            "Beliefs need labels: batches of (images, class numbers). "
            f"Received: {spec}"
        )

    def add(images, *rest):
        rows = tf.shape(tf.nest.flatten(images)[0])[0]
        return images, tf.zeros([rows], tf.int32)

    return source.map(add)


def _at(
    batches: tf.data.Dataset, places: np.ndarray, count: int
) -> tf.data.Dataset:
    """Leaves only the examples at some places; others cost no forward pass."""
    chosen = np.zeros(count, bool)
    chosen[places] = True
    chosen = tf.constant(chosen)

    def select(batch, numbers):
        message = f"`num_examples` is {count}. Received an example numbered"
        known = tf.reduce_all(numbers < count)
        with tf.control_dependencies(
            [tf.debugging.Assert(known, [message, numbers])]
        ):
            rows = tf.gather(chosen, numbers)
        return tf.nest.map_structure(
            lambda part: tf.boolean_mask(part, rows), batch
        )

    return tf_data.numbered(batches).map(select).rebatch(_BATCH)


def _of_target(
    encoder: keras.Model, target, most: int, seed: int
) -> np.ndarray:
    """Returns the features of target images, of a sample if they are many."""
    rows: RunningRows | None = None
    if isinstance(target, ImageData):
        target = target.batches()
    batches = as_batches(target, encoder)
    for features, _ in stream_features(encoder, batches):
        _check_width(features)
        rows = rows or RunningRows(features.shape[1], seed=seed)
        rows.add(features)
    if rows is None or rows.count < 2:
        raise InputError(
            "The target must have two images or more. "
            f"Received: {rows.count if rows else 0}"
        )
    order = np.random.default_rng([seed, 1]).permutation(len(rows.sample))
    return rows.sample[np.sort(order[:most])]


def _check_width(features: np.ndarray) -> None:
    """Raises InputError for features `[B, D]` that are not pooled."""
    if features.shape[1] > _WIDEST:
        raise InputError(
            f"The encoder must end in at most {_WIDEST:,} features; pool them. "
            f"Received: {features.shape[1]:,}"
        )
