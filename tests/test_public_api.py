import doctest
import importlib
import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_layering import PACKAGE, RANKS

import tf_transfer as tt


@pytest.mark.parametrize("name", tt.__all__)
def test_public_names_are_documented(name):
    item = getattr(tt, name)
    assert inspect.getdoc(item), name
    if inspect.isclass(item):
        for method, function in inspect.getmembers(item, inspect.isfunction):
            known = method.startswith("_") or method.startswith("on_")
            if not known and method in vars(item):
                assert inspect.getdoc(function), f"{name}.{method}"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'pretrain'"):
        tt.pretrain  # noqa: B018
    assert set(tt.__all__) <= set(dir(tt))


@pytest.mark.parametrize("name", RANKS)
def test_examples_run(name):
    module = importlib.import_module(f"tf_transfer.{name}")
    names = {"keras": keras, "np": np, "tf": tf}
    found = doctest.testmod(module, extraglobs=names)
    assert found.failed == 0


def test_every_file_says_what_it_is_for():
    for path in PACKAGE.glob("*.py"):
        assert path.read_text().startswith('"""'), path.name


def test_importing_the_package_loads_no_tensorflow():
    code = "import sys, tf_transfer; print('tensorflow' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"
