import importlib
import pkgutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.l2tl import rewards
from tf_transfer.training import distribution
from tf_transfer.utils import registration

REGISTERED = keras.saving.get_custom_objects()


def import_all_modules():
    for module in pkgutil.walk_packages(tt.__path__, "tf_transfer."):
        importlib.import_module(module.name)


def run_python(code, *arguments):
    """Runs code in a new process and returns the lines that it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_the_table_names_every_registered_class():
    import_all_modules()
    homes = {
        name: item.__module__
        for name, item in REGISTERED.items()
        if name.startswith("tf_transfer>")
    }
    assert homes == {
        f"tf_transfer>{name}": f"tf_transfer.{home}"
        for name, home in registration.HOMES.items()
    }


@pytest.fixture
def only_stand_ins(monkeypatch):
    """Registers the classes as if none of their modules were imported."""
    import_all_modules()
    for name in registration.HOMES:
        monkeypatch.delitem(REGISTERED, f"tf_transfer>{name}")
    registration.register(keras)


@pytest.mark.usefixtures("only_stand_ins")
@pytest.mark.parametrize("name", registration.HOMES)
def test_a_stand_in_builds_the_real_class(name):
    stand_in = keras.saving.get_registered_object(f"tf_transfer>{name}")
    assert issubclass(stand_in, registration.StandIn)
    home = importlib.import_module(f"tf_transfer.{registration.HOMES[name]}")
    real = getattr(home, name)
    arguments = {
        "Averages": [["loss"]],
        "FixedPolicy": [3],
        "L2TL": [tt.small_encoder((8, 8, 1), 4), 3, 2],
        "MeanPerClassAccuracy": [2],
        "SparseAUC": [2],
        "StandardizedConv2D": [4],
        "WeightPolicy": [3],
    }
    if name == "_Distributed":
        inputs = keras.Input((2,))
        arguments[name] = [inputs, keras.layers.Dense(1)(inputs)]
    item = stand_in(*arguments.get(name, []))
    assert type(item) is real
    assert type(stand_in.from_config(item.get_config())) is real


@pytest.mark.usefixtures("only_stand_ins")
def test_a_compiled_metric_loads_by_its_stand_in(tmp_path):
    model = helpers.tiny_classifier()
    model.compile("sgd", helpers.LOSS, metrics=[rewards.SparseAUC(4)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    data = helpers.blobs().batches(16)
    figures = [m.evaluate(data, verbose=0) for m in (model, loaded)]
    np.testing.assert_allclose(*figures, rtol=1e-6)


@pytest.mark.usefixtures("only_stand_ins")
def test_custom_objects_come_first():
    class Mine(tt.FixedPolicy):
        pass

    config = keras.saving.serialize_keras_object(tt.FixedPolicy(3))
    with keras.saving.custom_object_scope({"tf_transfer>FixedPolicy": Mine}):
        policy = keras.saving.deserialize_keras_object(config)
    assert type(policy) is Mine


FAKE_KERAS = """
import types
objects = {}
saving = types.SimpleNamespace(get_custom_objects=lambda: objects)
"""
PRINT = """
import keras, sys
print(*sorted(keras.objects))
print(*[name for name in sys.modules if name.startswith("tf_transfer.")])
"""


@pytest.mark.parametrize(
    "imports", ["tf_transfer, keras", "keras, tf_transfer"]
)
def test_importing_keras_registers_and_imports_nothing_else(tmp_path, imports):
    """With a fake Keras, as the real one is slow to import."""
    (tmp_path / "keras.py").write_text(FAKE_KERAS)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    names, modules = run_python(f"{code}import {imports}{PRINT}")
    assert names.split() == [f"tf_transfer>{n}" for n in registration.HOMES]
    assert modules == "tf_transfer.utils tf_transfer.utils.registration"


def test_a_registered_class_stays():
    _ = tt.FixedPolicy
    registration.register(keras)
    registered = keras.saving.get_registered_object("tf_transfer>FixedPolicy")
    assert registered is tt.FixedPolicy


@pytest.fixture(scope="module")
def saved_models(tmp_path_factory):
    """A folder with a file of each kind of model."""
    folder = tmp_path_factory.mktemp("models")
    for credit in (tt.FeatureCredit(), tt.GradientCredit(), tt.Reinforce()):
        model = helpers.l2tl_model(credit, reward="auc")
        model.save(folder / f"{type(credit).__name__}.keras")
    classifier = helpers.tiny_classifier()
    metrics = [rewards.SparseAUC(4), rewards.MeanPerClassAccuracy(4)]
    classifier.compile("sgd", helpers.LOSS, metrics=metrics)
    classifier.save(folder / "metrics.keras")
    distributed = distribution._Distributed(
        classifier.inputs, classifier.outputs
    )
    distributed.save(folder / "distributed.keras")
    return folder


LOAD = """
import pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    print(path.stem, type(load_model(path)).__name__)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        "import tf_transfer; from keras.saving import load_model",
        "from keras.saving import load_model; import tf_transfer",
        "from tf_transfer.training import distribution\n"
        "from keras.saving import load_model",
        "import tf_transfer, tensorflow as tf\n"
        "load_model = tf.keras.models.load_model",
    ],
)
def test_a_new_process_loads_every_model(saved_models, imports):
    lines = run_python(imports + LOAD, str(saved_models))
    assert lines == [
        "FeatureCredit L2TL",
        "GradientCredit L2TL",
        "Reinforce L2TL",
        "distributed _Distributed",
        "metrics Sequential",
    ]
