import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers

MODULES = [
    module.name for module in pkgutil.walk_packages(tt.__path__, "tf_transfer.")
]


@pytest.mark.parametrize("name", tt.__all__)
def test_public_names_are_documented(name):
    item = getattr(tt, name)
    assert inspect.getdoc(item), name
    if inspect.isclass(item):
        for method, function in inspect.getmembers(item, inspect.isfunction):
            private = method.startswith("_") or method.startswith("on_")
            if not private and method in vars(item):
                assert inspect.getdoc(function), f"{name}.{method}"


def takes_arguments(item):
    """Whether an item takes arguments that need a description."""
    if inspect.isclass(item) and issubclass(item, BaseException):
        return False
    names = set(inspect.signature(item).parameters)
    return bool(names - {"args", "kwargs"})


@pytest.mark.parametrize("name", tt.__all__)
def test_docstrings_are_complete(name):
    """They describe arguments, results and errors, and have an example."""
    item = inspect.unwrap(getattr(tt, name))
    text, source = inspect.getdoc(item), inspect.getsource(item)
    if takes_arguments(item):
        assert re.search(r"^(Args|Attributes)\b", text, re.MULTILINE)
    if inspect.isfunction(item):
        assert re.search(r"^(.*Returns|.*Yields|Estimates)\b", text, re.M)
    if "raise InputError" in source:
        assert re.search(r"^(.*Raises|.*raises)\b.*:", text, re.MULTILINE)
    home = importlib.import_module(f"tf_transfer.{tt._HOMES[name]}")
    doctests = doctest.DocTestFinder().find(home)
    (test,) = (
        each for each in doctests if each.name == f"{home.__name__}.{name}"
    )
    assert len(test.examples) > 0, f"{name} has no example that runs"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'pretrain'"):
        tt.pretrain  # noqa: B018
    assert set(tt.__all__) <= set(dir(tt))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name == "tf_transfer.commands.compare"
        else name
        for name in MODULES
    ],
)
def test_examples_run(name):
    module = importlib.import_module(name)
    names = {"keras": keras, "np": np, "tempfile": tempfile, "tf": tf}
    results = doctest.testmod(module, extraglobs=names)
    assert results.failed == 0


def test_every_file_has_a_docstring():
    for path in (helpers.REPOSITORY / "tf_transfer").rglob("*.py"):
        assert path.read_text().startswith('"""'), path.name


def test_importing_the_package_loads_no_tensorflow():
    code = """
import sys, tf_transfer
print({"tensorflow", "keras"} & set(sys.modules))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
