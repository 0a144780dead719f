import contextlib
import json
import random
import re
import socket
import threading

import conftest
import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_transfer import distribution
from tf_transfer.errors import InputError
from tf_transfer.runfolder import RunFolder


@pytest.mark.parametrize("name", ["none", "mirrored"])
def test_stream_outputs_keeps_order_for_any_last_batch(name):
    images = conftest.blobs(per_class=8, classes=4)
    with distribution.strategy(name).scope():
        model = conftest.tiny_classifier()
    expected = model(images.images / np.float32(255), training=False)
    found = list(distribution.stream_outputs(model, images.batches(9)))
    outputs = np.concatenate([rows for rows, _ in found])
    labels = np.concatenate([labels for _, labels in found])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, images.labels)


def test_stream_outputs_without_labels():
    model = conftest.tiny_classifier()
    dataset = tf.data.Dataset.from_tensors(np.zeros((3, 8, 8, 1), np.float32))
    ((outputs, labels),) = distribution.stream_outputs(model, dataset)
    assert outputs.shape == (3, 4)
    assert labels is None


def test_strategies_by_name():
    assert distribution.strategy("none").num_replicas_in_sync == 1
    assert distribution.strategy("mirrored").num_replicas_in_sync == 2
    with pytest.raises(InputError, match="choose none, mirrored"):
        distribution.strategy("everything")


def test_is_the_chief_where_it_is_alone():
    for name in ("none", "mirrored"):
        scope = distribution.strategy(name)
        assert distribution.is_chief(scope)
        assert distribution.num_workers(scope) == 1


@pytest.mark.parametrize(
    "given",
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
def test_a_cluster_must_be_described(given, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", given)
    with pytest.raises(InputError, match="TF_CONFIG must name the workers"):
        distribution.strategy("multi_worker")


def test_no_tpu_is_one_sentence():
    with pytest.raises(InputError, match="No TPU can be reached"):
        distribution.strategy("tpu")


def odd_batches():
    images = conftest.blobs(per_class=9, classes=4)
    return images.batches(7).repeat()


def fitted(scope, steps_per_execution):
    """A classifier after twenty steps, and what it says of itself."""
    keras.utils.set_random_seed(0)
    with scope.scope():
        model = distribution.distributed(conftest.tiny_classifier())
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9),
            conftest.LOSS,
            metrics=["accuracy"],
            steps_per_execution=steps_per_execution,
        )
    history = model.fit(
        conftest.blobs(per_class=8).batches(16).repeat(),
        epochs=2,
        steps_per_epoch=10,
        verbose=0,
        shuffle=False,
    ).history
    scores = model.evaluate(
        conftest.blobs(per_class=8, seed=1).batches(16),
        verbose=0,
        return_dict=True,
    )
    return model, history, scores


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_distributed_fit_and_evaluate_equal_one_device(mirrored, steps):
    one, *logs = fitted(tf.distribute.get_strategy(), 1)
    two, *found = fitted(mirrored, steps)
    assert not isinstance(one, distribution.DistributedTrainer)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(logs, found, strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], atol=1e-5)


def test_distributed_takes_an_odd_first_batch(mirrored):
    with mirrored.scope():
        model = distribution.distributed(conftest.tiny_classifier())
        model.compile("sgd", conftest.LOSS, metrics=["accuracy"])
    history = model.fit(
        odd_batches(), steps_per_epoch=3, verbose=0, shuffle=False
    )
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_compiled_step_equals_the_graphs(weighted):
    """XLA on the CPU stands in for a TPU: static shapes, no strings."""
    images = conftest.blobs(per_class=4)
    batch = next(iter(images.batches(16)))
    if weighted:
        batch = (*batch, tf.linspace(0.5, 1.5, 16))
    found = []
    for compiled in (False, True):
        keras.utils.set_random_seed(0)
        model = conftest.tiny_classifier()
        model.compile("sgd", conftest.LOSS, metrics=["accuracy"])
        step = tf.function(model.train_step, jit_compile=compiled)
        for _ in range(3):
            step(batch)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


class Cluster:
    """Two workers on this machine, that run one command together."""

    def __init__(self, command):
        ports = free_ports(2)
        self.workers = [
            conftest.start(
                [*command, "--config.strategy=multi_worker"],
                TF_CONFIG=json.dumps(
                    {
                        "cluster": {
                            "worker": [f"127.0.0.1:{port}" for port in ports]
                        },
                        "task": {"type": "worker", "index": index},
                    }
                ),
            )
            for index in range(2)
        ]

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.kill()
        for worker in self.workers:
            with worker:  # closes its pipes
                worker.wait()

    def kill(self):
        for worker in self.workers:
            worker.kill()

    def end(self, timeout):
        """Waits for both; returns their statuses, and what both have said."""
        late = threading.Timer(timeout, self.kill)
        late.start()
        errors = [worker.communicate()[1] for worker in self.workers]
        late.cancel()
        statuses = [worker.returncode for worker in self.workers]
        said = [
            f"--- worker {i} ended with status {status}:\n{text}"
            for i, (status, text) in enumerate(
                zip(statuses, errors, strict=True)
            )
        ]
        return statuses, "\n".join(said)

    def finish(self):
        statuses, said = self.end(timeout=400)
        assert statuses == [0, 0], said


def free_ports(count):
    """Ports below those that outgoing connections are given."""
    found = []
    for port in random.SystemRandom().sample(range(20000, 32000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            found.append(port)
    return found[:count]


@pytest.mark.slow
def test_two_workers_equal_one_process_and_the_chief_writes(tmp_path):
    command = conftest.tiny_command(tmp_path, "pair")
    with Cluster(command) as pair:
        pair.finish()
    alone = conftest.start(conftest.tiny_command(tmp_path, "alone"))
    _, errors = alone.communicate(timeout=400)
    assert alone.returncode == 0, errors
    conftest.same_models(tmp_path / "pair", tmp_path / "alone", atol=1e-4)
    files = [
        {str(path.relative_to(run)) for path in run.rglob("*")}
        for run in (tmp_path / "pair", tmp_path / "alone")
    ]
    assert files[0] == files[1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_worker_ends_the_other_and_the_pair_goes_on(tmp_path, victim):
    command = conftest.tiny_command(tmp_path)
    with Cluster(command) as pair:
        conftest.wait_for_a_checkpoint(tmp_path / "run")
        pair.workers[victim].kill()
        statuses, said = pair.end(timeout=60)
    assert statuses[1 - victim] == 3, said
    assert "Another worker is gone; start all of them again" in said
    assert re.search(r"Received: \w+Error: \w", said), said
    assert "Traceback" not in said
    if victim == 1:
        with Cluster(command) as pair:
            pair.finish()
        assert len(list(tmp_path.glob("run/checkpoints/*.keras"))) == 3


def test_a_worker_may_look_while_the_chief_makes_the_folder(tmp_path):
    """The folder is there before the config.json that says what it is."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    config = conftest.tiny_experiment()
    before = RunFolder(tmp_path / "run", config, writes=False)
    assert before.results == []
    with pytest.raises(InputError, match="holds no run"):
        RunFolder(tmp_path / "run", config)
