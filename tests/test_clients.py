"""Programs that do not import this package run a served model."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers


@pytest.fixture
def exported(tmp_path):
    """A model and its exported version."""
    model = helpers.tiny_classifier()
    return model, tt.export_serving(
        model, tmp_path, preprocessing=helpers.FRAME
    )


def client(name, *arguments):
    """Runs a script of tests/clients and returns the JSON it prints."""
    script = helpers.REPOSITORY / "tests" / "clients" / f"{name}.py"
    result = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.slow
def test_tensorflow_alone_runs_all_signatures(exported):
    report = client("tensorflow_only", exported[1], 13, 3)
    assert report["blocked"]
    assert report["difference"] < 1e-5
    for batch in (1, 64):
        shapes = {
            "probabilities": [batch, 4],
            "top_probabilities": [batch, 4],
            "class_ids": [batch, 4],
            "class_names": [batch, 4],
        }
        for name in ("serving_default", "serve_uint8", "serve_bytes"):
            assert report["signatures"][f"{name} {batch}"] == shapes
        features = report["signatures"][f"features {batch}"]
        assert features == {"features": [batch, 128]}


@pytest.mark.slow
def test_the_c_api_runs_serving_default(exported, tmp_path):
    """It loads a model as TensorFlow Serving does."""
    model, version = exported
    tool = pathlib.Path(sys.executable).with_name("saved_model_cli")
    options = f"--dir {version} --tag_set serve --signature_def serving_default"
    text = subprocess.run(
        [tool, "show", *options.split()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {}
    for part in text.split("puts['")[1:]:
        names[part.split("'")[0]] = part.split("name: ")[1].split()[0]
    for batch in (1, 64):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 9, 9, 3))
        images = images.astype(np.float32)
        np.save(tmp_path / "images.npy", images)
        outputs = client(
            "c_api",
            version,
            tmp_path / "images.npy",
            names["images"],
            names["probabilities"],
        )
        expected = helpers.framed_outputs(model, images)
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_the_c_client_needs_no_python_of_tensorflow():
    path = helpers.REPOSITORY / "tests" / "clients" / "c_api.py"
    assert "import tensorflow" not in path.read_text()
    spec = importlib.util.find_spec("tensorflow")
    folder = pathlib.Path(spec.submodule_search_locations[0])
    assert (folder / "libtensorflow_cc.so.2").exists()
