import keras
import pytest

from tests import helpers
from tf_transfer.errors import InputError
from tf_transfer.training import distribution, optimizer_checks

optimizers = keras.optimizers


@pytest.mark.parametrize(
    "settings",
    [
        {"clipnorm": 1.0},
        {"global_clipnorm": 1.0},
        {"clipvalue": 0.5},
        {"gradient_accumulation_steps": 2},
    ],
)
def test_what_acts_on_each_device_is_refused(settings):
    (name,) = settings
    sgd = optimizers.SGD(**settings)
    for optimizer in (sgd, optimizers.LossScaleOptimizer(sgd)):
        with pytest.raises(InputError, match=f"`{name}` acts on the"):
            optimizer_checks.check_on_replicas(optimizer)


def test_other_settings_are_taken():
    sgd = optimizers.SGD(0.1, use_ema=True, weight_decay=0.1)
    optimizer_checks.check_on_replicas(sgd)
    assert optimizer_checks.parts(optimizers.LossScaleOptimizer(sgd)) == [sgd]


def test_fit_on_two_devices_refuses_clipping(mirrored):
    with mirrored.scope():
        model = distribution.distributed(helpers.tiny_classifier())
        model.compile(optimizers.SGD(clipnorm=1.0), helpers.LOSS)
    data = helpers.blobs(per_class=2).batches(4)
    with pytest.raises(InputError, match=r"clipnorm=1.0 of 'sgd"):
        model.fit(data, verbose=0, shuffle=False)
