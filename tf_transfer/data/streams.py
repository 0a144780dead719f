"""Source, target and validation batches side by side, for L2TL."""

import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.utils import tf_data


def streams(
    source: tf.data.Dataset,
    target: tf.data.Dataset,
    validation: tf.data.Dataset | None = None,
) -> tf.data.Dataset:
    """Combines batches of source, target and validation into dicts, for L2TL.

    An epoch is one pass over the source; target and validation are repeated.
    If the source is endless, `fit` needs `steps_per_epoch`.
    To compute the reward on the whole validation part, make it one batch. For R
    replicas, every batch size must be a multiple of R.

    Args:
        source: batches of `(images, class numbers)`. For a model with
            `oversample=M`, they must be M times as large as the batches that
            it is to keep.
        target: batches of `(images, class numbers)`.
        validation: batches of `(images, class numbers)`, from target images
            that are not in `target`; None for a `FixedPolicy`, which does not
            learn.

    Returns:
        A dataset for `L2TL.fit`: dicts from the name of a stream to images
        `[B, H, W, channels]` and class numbers `[B]`.

    Raises:
        InputError: if a dataset is empty, or yields anything but batches of
            images and class numbers.

    Example:

    >>> arrays = np.zeros((4, 8, 8, 1), np.float32), np.arange(4)
    >>> batches = tf.data.Dataset.from_tensor_slices(arrays).batch(2)
    >>> sorted(streams(batches, batches, batches).element_spec)
    ['source', 'target', 'validation']
    """
    parts = {"source": source, "target": target, "validation": validation}
    for name, dataset in parts.items():
        if dataset is not None:
            _check(name, dataset)
    zipped = {
        name: dataset if name == "source" else dataset.repeat()
        for name, dataset in parts.items()
        if dataset is not None
    }
    return tf.data.Dataset.zip(zipped)


def _check(name: str, dataset: tf.data.Dataset) -> None:
    """Raises InputError unless a stream holds batches of labelled images."""
    tf_data.check_labelled(
        dataset,
        f"{name} stream",
        "batches of images and class numbers",
        batched=True,
        pairs=True,
    )
    if dataset.cardinality() == 0:
        raise InputError(
            f"The {name} stream must not be empty. Received: 0 batches"
        )
