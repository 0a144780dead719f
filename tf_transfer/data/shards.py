"""Data sets in many files, which several workers read together."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError

_MOST_OPEN = 16


def read_shards(
    files: Sequence[str | os.PathLike],
    read: Callable[[tf.Tensor], tf.data.Dataset],
    *,
    seed: int,
    context: tf.distribute.InputContext | None = None,
    deterministic: bool = True,
    service: str = "",
) -> tf.data.Dataset:
    """Reads many files in turns; each of several workers reads its own.

    Put `ImportanceWeights.resample` after it, with another seed for each
    worker. The shares of the classes are then right over all workers, provided
    that the examples are spread over the files at random.

        def pipeline(context):
            records = tt.read_shards(files, tf.data.TFRecordDataset, seed=0,
                                     context=context).map(parse)
            seed = context.input_pipeline_id
            batches = records.batch(context.get_per_replica_batch_size(256))
            return weights.resample(batches, seed=seed).map(decode)

        model.fit(strategy.distribute_datasets_from_function(pipeline), ...)

    Args:
        files: names of the files.
        read: a function from a file name to a dataset, e.g.
            `tf.data.TFRecordDataset`.
        seed: of the order of the files; the same on all workers.
        context: of the worker, from `distribute_datasets_from_function`; None
            reads all files.
        deterministic: False is faster, but the order is not fixed, so a run
            does not repeat exactly.
        service: address of a tf.data service (`grpc://host:port`) to read
            with; the order is then not fixed either.

    Returns:
        One pass over the files.

    Raises:
        InputError: if a file does not exist, or there are fewer files than
            workers.

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
    names = [names[i] for i in order]
    if context:
        names = names[context.input_pipeline_id :: workers]
    dataset = tf.data.Dataset.from_tensor_slices(names).interleave(
        read,
        cycle_length=min(_MOST_OPEN, len(names)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=deterministic,
    )
    options = tf.data.Options()
    options.deterministic = deterministic
    # Each worker has its own files already.
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
