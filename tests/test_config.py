import dataclasses
import subprocess
import sys

import pytest

from tf_transfer import config


def test_a_typo_is_an_error():
    with pytest.raises(TypeError):
        config.Data(sauce="glyphs")
    with pytest.raises(AttributeError):
        config.Experiment().sede = 3


def test_differences_names_nested_fields():
    one = dataclasses.asdict(config.Experiment())
    other = dataclasses.asdict(config.Experiment(seeds=2))
    other["data"]["channels"] = 3
    found = config.differences(one, other)
    assert found == ["data.channels: 1 and 3", "seeds: 5 and 2"]


def test_what_an_old_configuration_lacks_is_the_default():
    old = dataclasses.asdict(config.Experiment(seeds=2))
    old["encoder"] = {"name": "ResNet50"}
    old["fingerprints"] = {"source": "abc"}
    found = config.completed(old)
    default = dataclasses.asdict(config.Encoder())
    assert found["encoder"] == default | {"name": "ResNet50"}
    assert (found["seeds"], found["fingerprints"]) == (2, {"source": "abc"})
    assert old["encoder"] == {"name": "ResNet50"}


def test_imports_no_tensorflow():
    code = "import sys, tf_transfer.config; print('tensorflow' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"
