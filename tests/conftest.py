"""Fixtures, and two logical CPU devices for every test."""

import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # GPUs round differently

import keras
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests.helpers import SHARED_DATA

# A GPU's short mantissa parts two trainings by .01 within twenty steps.
tf.config.experimental.enable_tensor_float_32_execution(False)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in the background of a shell; commands of tests would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Draws the embedded data into a cache of the test run's own."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # which the test processes share
    os.environ["TF_TRANSFER_CACHE"] = str(root / "cache")


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def default_float():
    """A function that sets the default float of Keras, for one test."""
    before = keras.config.floatx(), keras.config.dtype_policy()

    def set_both(name):
        keras.config.set_floatx(name)
        keras.config.set_dtype_policy(name)

    yield set_both
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.fixture
def mirrored():
    """A strategy over two logical CPU devices."""
    return tt.strategy("mirrored")


@pytest.fixture
def shared_data():
    """The folder of real data beside the checkout, where there is one."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is absent")
    return SHARED_DATA
