"""A served model in the hands of programs that know nothing of this package."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers

FRAME = tt.Frame(8, 1, tt.Appearance(255.0, 0.0, 0.3))


@pytest.fixture
def exported(tmp_path):
    """A model, and a version of it."""
    model = helpers.tiny_classifier()
    return model, tt.export_serving(model, tmp_path, preprocessing=FRAME)


def client(name, *arguments):
    """Runs a script of tests/clients and returns the JSON it prints."""
    script = helpers.REPOSITORY / "tests" / "clients" / f"{name}.py"
    shown = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


@pytest.mark.slow
def test_tensorflow_alone_runs_all_signatures(exported):
    found = client("tensorflow_only", exported[1], 13, 3)
    assert found["blocked"]
    assert found["difference"] < 1e-5
    for batch in (1, 64):
        answer = {
            "probabilities": [batch, 4],
            "top_probabilities": [batch, 4],
            "class_ids": [batch, 4],
            "class_names": [batch, 4],
        }
        for name in ("serving_default", "serve_uint8", "serve_bytes"):
            assert found["signatures"][f"{name} {batch}"] == answer
        features = found["signatures"][f"features {batch}"]
        assert features == {"features": [batch, 128]}


@pytest.mark.slow
def test_the_c_api_runs_serving_default(exported, tmp_path):
    """The loading path of TensorFlow Serving."""
    model, version = exported
    tool = pathlib.Path(sys.executable).with_name("saved_model_cli")
    asked = f"--dir {version} --tag_set serve --signature_def serving_default"
    shown = subprocess.run(
        [tool, "show", *asked.split()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {}
    for part in shown.split("puts['")[1:]:
        names[part.split("'")[0]] = part.split("name: ")[1].split()[0]
    for batch in (1, 64):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 9, 9, 3))
        images = images.astype(np.float32)
        np.save(tmp_path / "images.npy", images)
        found = client(
            "c_api",
            version,
            tmp_path / "images.npy",
            names["images"],
            names["probabilities"],
        )
        ready = FRAME(images).numpy() / np.float32(255)
        expected = keras.ops.softmax(model(ready))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_c_client_needs_no_python_of_tensorflow():
    path = helpers.REPOSITORY / "tests" / "clients" / "c_api.py"
    assert "import tensorflow" not in path.read_text()
    found = importlib.util.find_spec("tensorflow")
    folder = pathlib.Path(found.submodule_search_locations[0])
    assert (folder / "libtensorflow_cc.so.2").exists()
