"""Resampling stages for tf.data: a source as if its labels were the target's.

Ngiam et al. 2018 (section 3.2) resample the source rather than weight its
loss. Both of their samplers come in two forms: a *streaming* stage for any
labelled dataset, and an *index draw* for sources with random access. Every
stage is a function of a seed and a position, so it repeats bit for bit, and
both run before images are decoded if they are put there, and save that work.

Weights are `[C]` with mean 1 under the source prior, as a tensor or as the
variable of `ImportanceWeights`, which a callback may change while training.
"""

import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.utils import checks, weighting
from tf_transfer.utils.checks import _check_seed, check_labelled
from tf_transfer.utils.weighting import weight_of

_AHEAD = 2  # blocks of batches chosen at a time; of examples more cost time
_DRAWN = 512  # indices in a block of `index_draw`


def resample(
    dataset: tf.data.Dataset,
    class_weights: tf.Tensor | tf.Variable,
    *,
    seed: int,
    replacement: bool = True,
    rate: float = 1.0,
    block_size: int = 1024,
) -> tf.data.Dataset:
    """Repeats and drops the examples of a `(record, label)` dataset by weight.

    An example of weight w is copied `floor(rate * w)` times, and once more
    with the remaining probability, so that the classes keep their weighted
    shares exactly in expectation (the paper's same-distribution sampler).
    Without replacement it is kept once with probability `min(1, rate * w)`
    (the elastic sampler): no duplicates, but shares drift from the weighted
    ones wherever `rate * w` exceeds 1.

    Takes O(1) time an example and O(classes + block_size) memory. Batches cost
    less than single examples.

    Args:
        dataset: single examples, or batches; the result is the same kind,
            with the same batch size.
        class_weights: `[C]`.
        seed: the same seed repeats the same choices by position, so repeat
            the dataset *before* this stage for new ones in each pass.
        replacement: False for the elastic sampler.
        rate: expected length of the result over the length of `dataset`.
        block_size: examples chosen from and shuffled together; copies of an
            example stay within their block. Fastest as a multiple of the size
            of endless batches.

    Returns:
        A dataset with the elements of `dataset`. Its length is not known.

    Raises:
        InputError: for labels, weights, a rate or a seed that cannot be used.

    Example:

    >>> dataset = tf.data.Dataset.from_tensor_slices((["a", "b"], [0, 1]))
    >>> drawn = resample(dataset, tf.constant([3.0, 0.0]), seed=0)
    >>> [record.decode() for record, _ in drawn.as_numpy_iterator()]
    ['a', 'a', 'a']
    """
    _check_seed(seed)
    now = tf.get_static_value(tf.convert_to_tensor(class_weights))
    if now is not None and not (now.min() >= 0 and 0 < now.max() < np.inf):
        raise InputError(
            "Weights must be finite, not negative, nor all 0. "
            f"Received: {now.min():g} to {now.max():g}"
        )
    if not 0 < rate < np.inf:
        raise InputError(f"`rate` must be positive. Received: {rate=}")
    check_labelled(dataset)
    batch_size = _batch_size(dataset)
    blocks = _blocks(dataset, batch_size, block_size)

    def choose(position, element):
        if element[1].shape.rank == 2:
            element = tf.nest.map_structure(_joined, element)
        labels = element[1]
        expected = rate * tf.cast(weight_of(class_weights, labels), tf.float32)
        draws = tf.random.stateless_uniform(tf.shape(labels), [seed, position])
        whole = tf.floor(expected) if replacement else tf.zeros_like(expected)
        more = tf.cast(draws < expected - whole, tf.int32)
        reached = tf.cumsum(tf.cast(whole, tf.int32) + more)
        # What tf.repeat gives, in a tenth of its time.
        rows = tf.searchsorted(reached, tf.range(reached[-1]), side="right")
        mixed = tf.random.experimental.stateless_shuffle(rows, [position, seed])
        return tf.nest.map_structure(lambda x: tf.gather(x, mixed), element)

    chosen = blocks.enumerate().map(choose, _AHEAD if batch_size else 1)
    endless = blocks.cardinality() == tf.data.INFINITE_CARDINALITY
    if not endless:
        # Tells tf.data, too, that the length is no longer known.
        chosen = chosen.filter(lambda *element: tf.size(element[1]) > 0)
    if batch_size is None:
        return chosen.unbatch()
    # Batches of a size known beforehand, where none is cut short.
    return chosen.rebatch(batch_size, drop_remainder=bool(endless))


def _blocks(
    dataset: tf.data.Dataset, batch_size: int | None, block_size: int
) -> tf.data.Dataset:
    """Returns blocks of single examples, or of batches side by side."""
    if batch_size is None:
        return dataset.batch(block_size, num_parallel_calls=1)
    together = block_size // batch_size
    shapes = [spec.shape for spec in tf.nest.flatten(dataset.element_spec)]
    endless = dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    known = all(shape.is_fully_defined() for shape in shapes)
    if not (endless and known and together * batch_size == block_size):
        return dataset.rebatch(block_size)
    # Batches of one shape are copied faster than those of any.
    return dataset.batch(together, num_parallel_calls=_AHEAD)


def _joined(part: tf.Tensor) -> tf.Tensor:
    """Joins batches that lie side by side."""
    return tf.reshape(part, [-1, *part.shape[2:]])


def _batch_size(dataset: tf.data.Dataset) -> int | None:
    """Returns the size of the batches, or None of single examples.

    Reads the first of those whose size is not known.
    """
    shape = dataset.element_spec[1].shape
    if shape.rank == 0:
        return None
    if shape[0] is not None:
        return shape[0]
    first = next(iter(dataset.take(1)), None)
    if first is None:
        raise InputError("The source dataset is empty. Received: 0 batches")
    return int(first[1].shape[0])


def index_draw(
    labels: np.ndarray,
    class_weights: tf.Tensor | tf.Variable,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
) -> tf.data.Dataset:
    """Draws batches of source indices, with replacement, without end.

    A class is drawn by its share of `count * weight`, then an example of it
    uniformly: independent draws from the weighted source. The batch at a
    position depends on seed and position alone. Batches are drawn some at a
    time, about 500 indices: those take O(classes + indices log classes)
    time; memory is O(examples + classes). New weights show after what is drawn
    ahead: ask for the dataset anew where they must count at once.

    Args:
        labels: the source's labels, `[N]`.
        class_weights: `[C]`.
        batch_size: indices per batch.
        seed: of the draws.
        start: position of the first batch, to continue a run.

    Returns:
        A dataset of int64 indices `[batch_size]`.

    Raises:
        InputError: for a batch size or a position that cannot be.
        InvalidArgumentError: as it is read, for weights that cannot be.

    Example:

    >>> weights = tf.constant([2.0, 0.0])
    >>> drawn = index_draw(np.array([1, 0, 1]), weights, batch_size=4, seed=0)
    >>> next(iter(drawn)).numpy().tolist()
    [1, 1, 1, 1]
    """
    _check_seed(seed)
    if batch_size < 1 or start < 0:
        raise InputError(
            "`batch_size` must be at least 1 and `start` not negative. "
            f"Received: {batch_size=}, {start=}"
        )
    num_classes = class_weights.shape[0]
    checks.check_labels(labels, num_classes)
    counts = np.bincount(labels, minlength=num_classes)
    by_class = tf.constant(np.argsort(labels, kind="stable"))
    first = tf.constant(np.cumsum(counts) - counts)
    size = tf.constant(counts, tf.float64)
    at_once = max(1, _DRAWN // batch_size)

    def draw(position):
        mass = size * tf.cast(class_weights, tf.float64)
        reached = tf.cumsum(mass)
        message = "Weights must be finite, not negative, nor all 0. Received:"
        some = (reached[-1] > 0) & (reached[-1] < np.inf)
        fine = some & (tf.reduce_min(mass) >= 0)
        tf.debugging.Assert(fine, [message, class_weights])
        draws = [
            tf.random.stateless_uniform(
                [2, batch_size], [seed, position + i], dtype=tf.float64
            )
            for i in range(at_once)
        ]
        draws = tf.concat(draws, axis=1)
        chosen = tf.searchsorted(reached, draws[0] * reached[-1], side="right")
        # The last class with mass reaches the total; round-off may pass it.
        chosen = tf.minimum(chosen, tf.searchsorted(reached, reached[-1:]))
        inside = draws[1] * tf.gather(size, chosen)
        offset = tf.gather(first, chosen) + tf.cast(inside, tf.int64)
        return tf.reshape(tf.gather(by_class, offset), [at_once, batch_size])

    positions = tf.data.Dataset.counter(start, at_once)
    drawn = positions.map(draw, num_parallel_calls=_AHEAD).unbatch()
    endless = tf.data.experimental.assert_cardinality(
        tf.data.INFINITE_CARDINALITY
    )
    return drawn.apply(endless)


def elastic_order(
    labels: np.ndarray, class_weights: np.ndarray, seed: int
) -> np.ndarray:
    """Orders the source so that every prefix is a weighted sample.

    The elastic sampler with random access: exponential keys (Efraimidis and
    Spirakis 2006) draw one example after another, by weight, without
    replacement. The first n entries are the sample of size n.
    O(examples log examples) time, once.

    Args:
        labels: the source's labels, `[N]`.
        class_weights: `[C]`; examples of weight 0 are left out.
        seed: of the draw.

    Returns:
        Distinct indices into `labels`, `[at most N]` int64.

    Raises:
        InputError: for weights of classes that are negative or none.

    Example:

    >>> order = elastic_order(np.array([1, 0, 1, 0]), [1.0, 0.0], seed=0)
    >>> sorted(order.tolist())
    [1, 3]
    """
    _check_seed(seed)
    if np.ndim(class_weights) != 1:
        raise InputError(
            "There must be one weight per class. "
            f"Received: shape {np.shape(class_weights)}"
        )
    prior = weighting.source_prior(labels, len(class_weights))
    weight = weighting.normalise(class_weights, prior)[labels]
    drawn = np.random.default_rng(seed).exponential(size=len(weight))
    keys = np.divide(
        drawn, weight, out=np.full(len(weight), np.inf), where=weight > 0
    )
    return np.argsort(keys, kind="stable")[: np.count_nonzero(weight)]
