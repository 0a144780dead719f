import contextlib
import json
import random
import re
import socket
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import forecast
from tf_transfer.training import distribution


def test_strategies_by_name():
    assert distribution.strategy("none").num_replicas_in_sync == 1
    assert distribution.strategy("mirrored").num_replicas_in_sync == 2
    with pytest.raises(InputError, match="choose none, mirrored"):
        distribution.strategy("everything")


def test_a_single_process_is_the_chief():
    for name in ("none", "mirrored"):
        scope = distribution.strategy(name)
        assert distribution.is_chief(scope)
        assert distribution.num_workers(scope) == 1


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}',
        '{"cluster": {"worker": ["a:1"]},'
        ' "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"ps": ["a:1"], "worker": ["b:1"]},'
        ' "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_cluster_must_be_described(setting, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", setting)
    with pytest.raises(InputError, match="TF_CONFIG must name the workers"):
        distribution.strategy("multi_worker")


def test_no_tpu_is_one_sentence():
    with pytest.raises(InputError, match="No TPU can be reached"):
        distribution.strategy("tpu")


def odd_batches():
    images = helpers.blobs(per_class=9, classes=4)
    return images.batches(7).repeat()


def fitted(scope, steps_per_execution):
    """A classifier after twenty steps, its history and its scores."""
    keras.utils.set_random_seed(0)
    with scope.scope():
        model = distribution.distributed(helpers.tiny_classifier())
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9),
            helpers.LOSS,
            metrics=["accuracy"],
            steps_per_execution=steps_per_execution,
        )
    history = model.fit(
        helpers.blobs(per_class=8).batches(16).repeat(),
        epochs=2,
        steps_per_epoch=10,
        verbose=0,
        shuffle=False,
    ).history
    scores = model.evaluate(
        helpers.blobs(per_class=8, seed=1).batches(16),
        verbose=0,
        return_dict=True,
    )
    return model, history, scores


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 5])
@pytest.mark.slow
def test_distributed_fit_and_evaluate_equal_one_device(mirrored, steps):
    one, *logs = fitted(tf.distribute.get_strategy(), 1)
    two, *mirrored_logs = fitted(mirrored, steps)
    assert not isinstance(one, distribution.DistributedTrainer)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(logs, mirrored_logs, strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], atol=1e-5)


def test_distributed_takes_an_odd_first_batch(mirrored):
    with mirrored.scope():
        model = distribution.distributed(helpers.tiny_classifier())
        model.compile("sgd", helpers.LOSS, metrics=["accuracy"])
    history = model.fit(
        odd_batches(), steps_per_epoch=3, verbose=0, shuffle=False
    )
    assert np.isfinite(history.history["loss"]).all()


def test_compiling_for_several_devices_is_refused(mirrored):
    with mirrored.scope():
        model = distribution.distributed(helpers.tiny_classifier())
        model.compile("sgd", helpers.LOSS, jit_compile=True)
    with pytest.raises(InputError, match=r"leave it out.*Received: 2 devices"):
        model.fit(odd_batches(), steps_per_epoch=3, verbose=0, shuffle=False)


@pytest.mark.parametrize(
    "weighted", [False, pytest.param(True, marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_a_compiled_step_equals_the_graphs(weighted):
    """XLA on the CPU has the limits of a TPU: static shapes, no strings."""
    images = helpers.blobs(per_class=4)
    batch = next(iter(images.batches(16)))
    if weighted:
        batch = (*batch, tf.linspace(0.5, 1.5, 16))
    weights = []
    for compiled in (False, True):
        keras.utils.set_random_seed(0)
        model = helpers.tiny_classifier()
        model.compile("sgd", helpers.LOSS, metrics=["accuracy"])
        step = tf.function(model.train_step, jit_compile=compiled)
        for _ in range(3):
            step(batch)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_worker_reads_the_rows_that_fit_gives_it():
    """What `fit` does with a batch is seen in the test of two workers."""
    resolvers = tf.distribute.cluster_resolver

    class Scope(tf.distribute.MultiWorkerMirroredStrategy):
        num_replicas_in_sync = 4
        cluster_resolver = None

        def __init__(self, jobs, kind, number):
            self.cluster_resolver = resolvers.SimpleClusterResolver(
                tf.train.ClusterSpec(jobs), task_type=kind, task_id=number
            )

    jobs = {"chief": ["a:1"], "worker": ["b:1"]}
    for job, expected in (
        (("chief", 0), [0, 1, 4, 5]),
        (("worker", 0), [2, 3, 6, 7]),
    ):
        rows = distribution.own_rows(8, Scope(jobs, *job))
        assert np.flatnonzero(rows).tolist() == expected
    two = {"worker": ["a:1", "b:1"]}
    rows = distribution.own_rows(8, Scope(two, "worker", 1))
    assert np.flatnonzero(rows).tolist() == [2, 3, 6, 7]
    assert distribution.own_rows(9, Scope(two, "worker", 1)) is None
    assert distribution.own_rows(8, distribution.strategy("none")) is None


def free_ports(count):
    """Ports below the range of outgoing connections, so that they stay free."""
    ports = []
    for port in random.SystemRandom().sample(range(20000, 32000), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError("no free port")


class Cluster:
    """Two workers on this machine that run one command together."""

    def __init__(self, command, caches=("", "")):
        addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
        self.commands = [
            helpers.started(
                [*command, "--config.strategy=multi_worker"],
                TF_TRANSFER_CACHE=str(caches[index]),
                TF_CONFIG=json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": index},
                    }
                ),
            )
            for index in range(2)
        ]

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.workers = [self.stack.enter_context(c) for c in self.commands]
        return self

    def __exit__(self, *error):
        self.stack.close()

    def ends(self, timeout=400):
        """Waits for all workers; returns the status and errors of each."""
        until = time.monotonic() + timeout
        return [
            helpers.ended(worker, max(1, until - time.monotonic()))
            for worker in self.workers
        ]

    def finish(self):
        ends = self.ends()
        assert [status for status, _ in ends] == [0, 0], "\n".join(
            f"worker {index} ended with status {status}:\n{errors}"
            for index, (status, errors) in enumerate(ends)
        )


@pytest.mark.slow
def test_two_workers_equal_one_process_and_the_chief_writes(tmp_path):
    methods = "finetune", "l2tl", "finetune_related"  # which runs before
    pair, alone = (
        helpers.tiny_command(tmp_path, name, methods)
        for name in ("pair", "alone")
    )
    pair.append("--config.data.memory_share=0")
    caches = tmp_path / "first", tmp_path / "second"
    with Cluster(pair, caches) as workers:  # each reads its own rows
        workers.finish()
    for cache in caches:
        assert len(list(cache.rglob("images.bin"))) == 2
    with helpers.started(alone) as alone:
        status, errors = helpers.ended(alone, timeout=400)
    assert status == 0, errors
    helpers.same_models(tmp_path / "pair", tmp_path / "alone", atol=1e-4)
    # The names of event files contain time and process; and only one machine
    # writes a forecast.
    files = [
        {
            str(p.relative_to(run))
            for p in run.rglob("*")
            if "events." not in p.name and p.name != forecast.NAME
        }
        for run in (tmp_path / "pair", tmp_path / "alone")
    ]
    assert files[0] == files[1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_worker_ends_the_other_and_the_pair_goes_on(tmp_path, victim):
    command = helpers.tiny_command(tmp_path)
    with Cluster(command) as pair:
        helpers.wait_for_a_checkpoint(tmp_path / "run")
        pair.workers[victim].kill()
        status, errors = pair.ends(timeout=60)[1 - victim]
    assert status == 3, errors
    assert "Another worker is gone; start all of them again" in errors
    assert re.search(r"Received: \w+Error: .{10,200}$", errors.strip())
    assert "Traceback" not in errors
    if victim == 1:
        with Cluster(command) as pair:
            pair.finish()
        assert len(list(tmp_path.glob("run/checkpoints/*.keras"))) == 3
