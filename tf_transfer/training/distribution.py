"""Training under any `tf.distribute` strategy.

The `fit` of Keras fails on several workers, and on several devices for some
datasets and settings. The workarounds are in this module.
"""

import functools
import json
import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.training import optimizer_checks


@functools.cache
def strategy(name: str) -> tf.distribute.Strategy:
    """Returns a distribution strategy by name, the same object each time.

    With two mirrored strategies in one process, their all-reduces would get
    mixed up.

    Args:
        name: `"none"` for one device; `"mirrored"` for all local GPUs (all
            logical CPUs if there is no GPU); `"multi_worker"` for the machines
            in the environment variable `TF_CONFIG`, which must be requested
            before TensorFlow computes anything; `"tpu"` for the TPU of this
            machine or of the environment variable `TPU_NAME`.

    Returns:
        The strategy. Make models under its `scope()`.

    Raises:
        InputError: for an unknown name, an invalid `TF_CONFIG`, or if no TPU
            can be reached.

    Example:

    >>> strategy("none").num_replicas_in_sync
    1
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = tf.config.list_logical_devices(kind)
        return tf.distribute.MirroredStrategy([d.name for d in devices])
    if name == "multi_worker":
        _check_cluster()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _tpu_strategy()
    raise InputError(
        "Unknown distribution strategy; choose none, mirrored, multi_worker "
        f"or tpu. Received: {name!r}"
    )


def _tpu_strategy() -> tf.distribute.TPUStrategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise InputError(
            "No TPU can be reached. Received: strategy='tpu'"
        ) from error


def _check_cluster() -> None:
    """Raises InputError if `TF_CONFIG` does not name this worker."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        settings = json.loads(text)
        task, cluster = settings["task"], settings["cluster"]
        address = cluster[task["type"]][task["index"]]
        if not set(cluster) <= {"chief", "worker"} or ":" not in address:
            raise ValueError("no cluster of workers")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            "The environment variable TF_CONFIG must name the workers and "
            'this one, like {"cluster": {"worker": ["host:port", ...]}, '
            '"task": {"type": "worker", "index": 0}}. '
            f"Received: {text or 'nothing'}"
        ) from error


def num_workers(scope: tf.distribute.Strategy) -> int:
    """Returns the number of processes that train together."""
    if not isinstance(scope, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = scope.cluster_resolver.cluster_spec().as_dict()
    return max(1, sum(map(len, cluster.values())))


def is_chief(scope: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes the files of its cluster."""
    if num_workers(scope) == 1:
        return True
    resolver = scope.cluster_resolver
    if "chief" in resolver.cluster_spec().as_dict():
        return resolver.task_type == "chief"
    return resolver.task_id == 0


def own_rows(
    batch_size: int, scope: tf.distribute.Strategy
) -> np.ndarray | None:
    """Returns which rows of a batch this worker trains on, `[batch_size]` bool.

    `fit` gives the replicas of all workers equal parts in turns; where it
    cannot, and with one worker, None stands for all rows.
    """
    workers, replicas = num_workers(scope), scope.num_replicas_in_sync
    if workers == 1 or batch_size % replicas:
        return None
    resolver = scope.cluster_resolver
    chiefs = len(resolver.cluster_spec().as_dict().get("chief", []))
    own = resolver.task_id + chiefs * (resolver.task_type != "chief")
    part = np.arange(batch_size) // (batch_size // replicas)
    return part % workers == own


class DistributedTrainer:
    """Mixin for Keras models: `fit` and `evaluate` under every strategy.

    Write `class Mine(DistributedTrainer, keras.Model)`, or call `distributed`
    for a model over the layers of another. On one device nothing changes. On
    several devices it replaces two parts of Keras (3.15): the functions that
    run the steps, which fail on several workers and with more than one step
    per execution; and the building from a first batch, which fails for dicts
    and for batches that cannot be divided evenly. Give every worker the whole
    dataset: each takes its share of every batch. In the losses of Keras, the
    mean of every device counts alike: let the batches divide evenly, with
    `drop_remainder=True`, to train as on one device.

    Raises:
        InputError: from `fit` and `evaluate` on several devices, if the model
            was compiled with `jit_compile=True`; from `fit`, if an optimizer
            clips or accumulates gradients.

    Example:

    >>> class Mine(DistributedTrainer, keras.Sequential):
    ...     pass
    >>> model = Mine([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> logs = model.fit(np.zeros((4, 2)), np.ones((4, 1)), verbose=0).history
    >>> logs["loss"]
    [1.0]
    """

    def make_train_function(self, force=False):
        """Makes the function of `fit`: `steps_per_execution` steps."""
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return super().make_train_function(force)
        if self.train_function is None or force:
            policy = getattr(self, "policy_optimizer", None)
            for optimizer in (self.optimizer, policy):
                if optimizer is not None and optimizer.built:
                    optimizer_checks.check_on_replicas(optimizer)
            self.train_function = self._on_all_replicas(self.train_step)

    def make_test_function(self, force=False):
        """Makes the function of `evaluate`, likewise."""
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return super().make_test_function(force)
        if self.test_function is None or force:
            self.test_function = self._on_all_replicas(self.test_step)

    def _on_all_replicas(self, step: Callable) -> Callable:
        scope, count = self.distribute_strategy, self.steps_per_execution
        if self.jit_compile:
            raise InputError(
                "`jit_compile=True` fails on several devices: leave it out. "
                f"Received: {scope.num_replicas_in_sync} devices"
            )

        def one_step(batch):
            outputs = scope.run(step, (batch,))
            return {
                name: scope.reduce("MEAN", value, axis=None)
                for name, value in outputs.items()
            }

        @tf.function(reduce_retracing=True)
        def run(iterator):
            outputs = one_step(next(iterator))
            if count > 1:
                for _ in tf.range(count - 1):
                    batch = iterator.get_next_as_optional()
                    if batch.has_value():  # the data may end earlier
                        outputs = one_step(batch.get_value())
            return outputs

        return run

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        scope = self.distribute_strategy
        if iterator is None or scope.num_replicas_in_sync == 1:
            return super()._maybe_symbolic_build(iterator, data_batch)
        _, _, batches = next(iter(iterator))
        local = tf.nest.map_structure(
            lambda value: scope.experimental_local_results(value)[0],
            next(batches),
        )
        super()._maybe_symbolic_build(data_batch=local)


@keras.saving.register_keras_serializable("tf_transfer")
class _Distributed(DistributedTrainer, keras.Model):
    """A functional model whose `fit` works under every strategy."""


def distributed(model: keras.Model) -> keras.Model:
    """Returns a model over the same layers that trains on all devices.

    Args:
        model: a built functional or sequential model, made under a strategy.

    Returns:
        A `DistributedTrainer`, or the model itself if it is one already or
        has only one device.

    Raises:
        InputError: for a model of tf_keras.

    Example:

    >>> with strategy("none").scope():
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     trained = distributed(model)
    >>> trained is model  # one device
    True
    """
    scope = model.distribute_strategy
    if isinstance(model, DistributedTrainer) or scope.num_replicas_in_sync == 1:
        return model
    if not isinstance(model, keras.Model):
        raise InputError(f"A Keras 3 model is needed. Received: {model!r}")
    return _Distributed(model.inputs, model.outputs, name=model.name)


def total(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of a tensor over the replicas of the present step."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gathered(value: tf.Tensor) -> tf.Tensor:
    """Returns the rows of a tensor `[B, ...]` from all replicas of a step.

    Every replica adds its own rows to zeros in place of the others' rows. This
    also works with one replica on each of several workers, where `all_gather`
    does not. B must be the same on all replicas.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    mine = tf.one_hot(
        context.replica_id_in_sync_group,
        context.num_replicas_in_sync,
        dtype=value.dtype,
    )
    placed = tf.tensordot(mine, value, axes=0)
    shape = tf.concat([[-1], tf.shape(value)[1:]], axis=0)
    return tf.reshape(total(placed), shape)


def num_replicas() -> int:
    """Returns the number of replicas of the present step."""
    return tf.distribute.get_strategy().num_replicas_in_sync
