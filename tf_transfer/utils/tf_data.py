"""What tf.data pipelines share: checks of labelled datasets, and options."""

import tensorflow as tf

from tf_transfer.errors import InputError


def check_labelled(
    dataset: tf.data.Dataset,
    name: str = "source dataset",
    form: str = "(record, class number)",
    *,
    batched: bool | None = None,
    pairs: bool = False,
) -> bool:
    """Checks that a dataset yields records with class numbers.

    It looks at the types and shapes only; no element is read.

    Args:
        dataset: the dataset to check.
        name: what the sentence calls it.
        form: what the sentence says that it must yield.
        batched: whether it must yield batches; None allows both.
        pairs: whether it must yield nothing else, such as sample weights.

    Returns:
        Whether it yields batches.

    Raises:
        InputError: if it is not a dataset, or yields something else.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise InputError(
            f"The {name} must be a tf.data.Dataset. "
            f"Received: {type(dataset).__name__}"
        )
    spec = dataset.element_spec
    fits = isinstance(spec, tuple) and len(spec) >= 2
    label = spec[1] if fits else None
    ranks = (0, 1) if batched is None else (int(batched),)
    if (
        not isinstance(label, tf.TensorSpec)
        or label.shape.rank not in ranks
        or not label.dtype.is_integer
        or (pairs and len(spec) != 2)
    ):
        excluded = "one-hot vectors or sample weights"
        raise InputError(
            f"The {name} must yield {form}, not "
            f"{excluded if pairs else 'one-hot vectors'}. Received: {spec}"
        )
    return label.shape.rank == 1


def check_finite(dataset: tf.data.Dataset, name: str) -> None:
    """Raises InputError if a dataset is known to have no end."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            f"The {name} must end. Received: a dataset without end"
        )


def numbered(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Numbers the examples of a `(record, label)` dataset from 0 on.

    Args:
        dataset: single examples or batches.

    Returns:
        A dataset of `(element, number)`, or of `(batch, numbers [B])`.

    Example:

    >>> data = tf.data.Dataset.from_tensor_slices((["a", "b", "c"], [0, 0, 1]))
    >>> [n.tolist() for _, n in numbered(data.batch(2)).as_numpy_iterator()]
    [[0, 1], [2]]
    """
    if dataset.element_spec[1].shape.rank == 0:
        return dataset.enumerate().map(
            lambda number, element: (element, number)
        )

    def add(first, element):
        size = tf.shape(element[1], tf.int64)[0]
        numbers = first + tf.range(size)
        numbers = tf.ensure_shape(numbers, element[1].shape)
        return first + size, (element, numbers)

    return dataset.scan(tf.constant(0, tf.int64), add)


def quiet(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turns autotuning off: its timer would delay every end of `fit`."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
