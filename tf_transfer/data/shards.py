"""Data sets that are spread over many files, read by many workers."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError

_AT_ONCE = 16


def read_shards(
    files: Sequence[str | os.PathLike],
    read: Callable[[tf.Tensor], tf.data.Dataset],
    *,
    seed: int,
    context: tf.distribute.InputContext | None = None,
    deterministic: bool = True,
    service: str = "",
) -> tf.data.Dataset:
    """Reads files in turns; of several workers each reads its own.

    Put `ImportanceWeights.resample` after it, with a seed of its own for each
    worker. Its shares are right over all workers if the examples lie in the
    files in random order.

        def pipeline(context):
            records = tt.read_shards(files, tf.data.TFRecordDataset, seed=0,
                                     context=context).map(parse)
            seed = context.input_pipeline_id
            batches = records.batch(context.get_per_replica_batch_size(256))
            return weights.resample(batches, seed=seed).map(decode)

        model.fit(strategy.distribute_datasets_from_function(pipeline), ...)

    Args:
        files: their names.
        read: from a file name to a dataset, e.g. `tf.data.TFRecordDataset`.
        seed: of the files' order; the same on all workers.
        context: of the worker, as `distribute_datasets_from_function` gives
            it; None reads all files.
        deterministic: False trades the order, and with it exact repetition,
            for speed.
        service: address of a tf.data service (`grpc://host:port`) that does
            the reading, which then has no fixed order either.

    Returns:
        One pass over the files.

    Raises:
        InputError: for fewer files than workers, or a file that is not there.

    Example:

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [f"{folder}/{name}.txt" for name in ("one", "two")]
    ...     for file in files:
    ...         tf.io.write_file(file, "a line")
    ...     lines = read_shards(files, tf.data.TextLineDataset, seed=0)
    ...     list(lines.as_numpy_iterator())
    [b'a line', b'a line']
    """
    names = sorted(os.fspath(name) for name in files)
    for name in names:
        if not tf.io.gfile.exists(name):
            raise InputError(f"There is no such file. Received: {name}")
    workers = context.num_input_pipelines if context else 1
    if len(names) < workers:
        raise InputError(
            f"There must be at least one file for each of {workers} workers. "
            f"Received: {len(names)} files"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    mine = [names[i] for i in order]
    if context:
        mine = mine[context.input_pipeline_id :: workers]
    dataset = tf.data.Dataset.from_tensor_slices(mine).interleave(
        read,
        cycle_length=min(_AT_ONCE, len(mine)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=deterministic,
    )
    options = tf.data.Options()
    options.deterministic = deterministic
    # The files are shared out already.
    policy = tf.data.experimental.AutoShardPolicy.OFF
    options.experimental_distribute.auto_shard_policy = policy
    dataset = dataset.with_options(options)
    if service:
        dataset = dataset.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, service
            )
        )
    return dataset
