import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError

FILES, PER_FILE, CLASSES = 6, 1000, 5


@pytest.fixture
def files(tmp_path):
    """TFRecord files of labels whose class 0 is rare."""
    rng = np.random.default_rng(0)
    shares = [0.04, 0.24, 0.24, 0.24, 0.24]
    names = [str(tmp_path / f"part-{i}.tfrecord") for i in range(FILES)]
    for name in names:
        with tf.io.TFRecordWriter(name) as writer:
            for label in rng.choice(CLASSES, PER_FILE, p=shares):
                writer.write(str(label).encode())
    return names


def parse(record):
    label = tf.strings.to_number(record, tf.int32)
    return record, label


def labels(dataset):
    return [int(record) for record in dataset.as_numpy_iterator()]


def worker(index, count=2):
    return tf.distribute.InputContext(count, index, count)


def read(files, **settings):
    return tt.read_shards(files, tf.data.TFRecordDataset, **settings)


def test_reads_everything_once_in_an_order_of_its_seed(files):
    first = labels(read(files, seed=1))
    assert len(first) == FILES * PER_FILE
    assert labels(read(files[::-1], seed=1)) == first
    other = labels(read(files, seed=2))
    assert other != first
    assert sorted(other) == sorted(first)
    loose = labels(read(files, seed=1, deterministic=False))
    assert sorted(loose) == sorted(first)


def test_workers_share_the_files_out(files):
    parts = [labels(read(files, seed=1, context=worker(i))) for i in (0, 1)]
    assert len(parts[0]) == len(parts[1]) == FILES * PER_FILE / 2
    assert sorted(parts[0] + parts[1]) == sorted(labels(read(files, seed=1)))


def test_resampled_shards_have_the_weighted_shares(files):
    prior = np.array([0.04, 0.24, 0.24, 0.24, 0.24])
    shares = np.array([0.4, 0.4, 0.1, 0.1, 0.0])
    weights = tt.ImportanceWeights(CLASSES)
    weights.update(shares, prior)
    counts = np.zeros(CLASSES)
    for i in (0, 1):
        records = read(files, seed=1, context=worker(i)).map(parse)
        chosen = weights.resample(records.batch(100), seed=i)
        for _, batch in chosen.take(30):
            counts += np.bincount(batch, minlength=CLASSES)
    np.testing.assert_allclose(counts / counts.sum(), shares, atol=0.04)


def test_fit_on_two_replicas_reads_from_shards(files, mirrored):
    def pipeline(context):
        size = context.get_per_replica_batch_size(8)
        records = read(files, seed=0, context=context).map(parse)
        return records.map(
            lambda _, label: (tf.one_hot(label, CLASSES), label)
        ).batch(size, drop_remainder=True)

    with mirrored.scope():
        model = tt.distributed(
            keras.Sequential(
                [keras.Input((CLASSES,)), keras.layers.Dense(CLASSES)]
            )
        )
        model.compile("sgd", helpers.LOSS)
    data = mirrored.distribute_datasets_from_function(pipeline)
    history = model.fit(data, steps_per_epoch=5, verbose=0, shuffle=False)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.slow
def test_a_tf_data_service_may_read(files):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    server = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=address)
    )
    by_service = labels(read(files, seed=1, service=dispatcher.target))
    assert sorted(by_service) == sorted(labels(read(files, seed=1)))
    del server


def test_refuses(files, tmp_path):
    with pytest.raises(InputError, match=r"no such file. Received: .*missing"):
        read([*files, str(tmp_path / "missing")], seed=0)
    with pytest.raises(InputError, match="at least one file for each of 7"):
        read(files, seed=0, context=worker(0, count=7))
    with pytest.raises(InputError, match="at least one file"):
        read([], seed=0)
