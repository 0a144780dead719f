import dataclasses
import re
import subprocess
import sys

import pytest

from tf_transfer import config
from tf_transfer.datl import estimation
from tf_transfer.errors import InputError
from tf_transfer.l2tl import rewards
from tf_transfer.l2tl.credits import lookup
from tf_transfer.training import distribution


def test_a_typo_is_an_error():
    with pytest.raises(TypeError):
        config.Data(sauce="glyphs")
    with pytest.raises(AttributeError):
        config.Experiment().sede = 3


def test_imports_no_tensorflow():
    code = "import sys, tf_transfer.config; print('tensorflow' in sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "False"


CHOICES = {
    (group, field.name): field.metadata["rule"].choices
    for group in (
        config.Data,
        config.Encoder,
        config.Training,
        config.FineTuning,
        config.Datl,
        config.L2tl,
        config.Experiment,
    )
    for field in dataclasses.fields(group)
    if "rule" in field.metadata and field.metadata["rule"].choices
}


def test_a_choice_is_the_same_where_it_is_used():
    assert CHOICES[config.Datl, "estimator"] == estimation.ESTIMATORS
    assert CHOICES[config.L2tl, "credit"] == tuple(lookup.CREDITS)
    with pytest.raises(InputError) as caught:
        rewards.reward_metric("none of them", 2, None)
    choices = CHOICES[config.L2tl, "reward"]
    assert f"one of {', '.join(choices)}. Received" in str(caught.value)
    with pytest.raises(InputError) as caught:
        distribution.strategy("none of them")
    *names, last = CHOICES[config.Experiment, "strategy"]
    assert f"choose {', '.join(names)} or {last}." in str(caught.value)


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_a_choice_is_explained(group, name):
    """The docstring names each choice of a setting."""
    (entry,) = re.findall(
        rf"^ {{8}}{name}: (.*(?:\n {{12}}.*)*)", group.__doc__, re.MULTILINE
    )
    assert set(CHOICES[group, name]) <= set(re.findall(r"`(\w+)`", entry))
