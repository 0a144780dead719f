import keras
import pytest

from tests.training import interrupted
from tf_transfer.errors import InputError

top = keras.metrics.SparseTopKCategoricalAccuracy


@pytest.mark.parametrize(
    "metrics",
    [
        lambda: ["accuracy"],
        lambda: [top(2), top(3)],  # of one name
        lambda: ["accuracy", keras.metrics.SparseCategoricalAccuracy()],
    ],
)
@pytest.mark.slow
def test_an_interrupted_epoch_has_the_metrics_of_a_whole_one(metrics, tmp_path):
    interrupted.check_same(
        lambda: interrupted.dense(metrics=metrics()), tmp_path, 2, 6, epochs=2
    )


@pytest.mark.slow
def test_several_steps_per_execution(tmp_path):
    interrupted.check_same(
        lambda: interrupted.dense(metrics=["accuracy"], steps_per_execution=2),
        tmp_path,
        1,
        3,
        epochs=2,
    )


def test_other_metrics_are_refused_inside_an_epoch(tmp_path):
    models = iter(
        [
            interrupted.dense(metrics=["accuracy"]),
            interrupted.dense(metrics=["accuracy", top(2)]),
        ]
    )
    with pytest.raises(InputError, match="must go on with its metrics"):
        interrupted.resumed(lambda: next(models), tmp_path, 2)
