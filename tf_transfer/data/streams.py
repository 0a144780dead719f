"""Source, target and validation batches side by side, for L2TL."""

import tensorflow as tf

from tf_transfer.errors import InputError


def streams(
    source: tf.data.Dataset,
    target: tf.data.Dataset,
    validation: tf.data.Dataset | None = None,
) -> tf.data.Dataset:
    """Returns dicts of a source, a target and a validation batch each.

    An epoch is one pass over the source; target and validation are repeated.
    Batch the validation part as a whole to reward on all of it. For two
    replicas or more, all batches must be of a size they divide.

    Args:
        source: batches of `(images, class numbers)`; with `oversample=M` of
            the model, M times as large as what is to be kept.
        target: batches of `(images, class numbers)`.
        validation: likewise, from target images that `target` does not hold;
            None for a `FixedPolicy`, which learns nothing from it.

    Returns:
        A dataset for `L2TL.fit`, of images `[B, H, W, channels]` and class
        numbers `[B]` by stream.

    Raises:
        InputError: for a dataset of anything but batched pairs.

    Example:

    >>> arrays = np.zeros((4, 8, 8, 1), np.float32), np.arange(4)
    >>> batches = tf.data.Dataset.from_tensor_slices(arrays).batch(2)
    >>> sorted(streams(batches, batches, batches).element_spec)
    ['source', 'target', 'validation']
    """
    parts = {"source": source, "target": target, "validation": validation}
    for name, dataset in parts.items():
        if dataset is not None:
            _check_pairs(name, dataset)
    zipped = {
        name: dataset if name == "source" else dataset.repeat()
        for name, dataset in parts.items()
        if dataset is not None
    }
    return tf.data.Dataset.zip(zipped)


def _check_pairs(name: str, dataset: tf.data.Dataset) -> None:
    if not isinstance(dataset, tf.data.Dataset):
        raise InputError(
            f"The {name} stream must be a tf.data.Dataset. "
            f"Received: {type(dataset).__name__}"
        )
    if dataset.cardinality() == 0:
        raise InputError(
            f"The {name} stream must not be empty. Received: 0 batches"
        )
    spec = dataset.element_spec
    fits = isinstance(spec, tuple) and len(spec) == 2
    if not fits or spec[1].shape.rank != 1 or not spec[1].dtype.is_integer:
        raise InputError(
            f"The {name} stream must yield batches of images and class numbers "
            f"(not one-hot vectors or sample weights). Received: {spec}"
        )
