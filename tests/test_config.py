import dataclasses
import subprocess
import sys

import pytest

from tf_transfer import config
from tf_transfer.errors import InputError


def test_defaults_are_valid():
    config.check(config.get_config())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seeds", 0),
        ("generalist.steps", 0),
        ("pretraining.learning_rate", -1.0),
        ("finetuning.batch_size", 0),
        ("finetuning.learning_rates", ()),
        ("finetuning.learning_rates", (0.1, 0.0)),
        ("finetuning.head_steps", -1),
        ("finetuning.head", "random"),
        ("finetuning.head", ""),
        ("data.source_per_class", -1),
        ("datl.temperature", 0.0),
        ("datl.temperature", -2.0),
        ("datl.temper", -1.0),
        ("datl.clip", -1.0),
        ("datl.every", -1),
        ("datl.estimator", "guess"),
        ("datl.apply", "hope"),
        ("datl.start", "middle"),
        ("l2tl.steps", 0),
        ("l2tl.learning_rate", 0.0),
        ("l2tl.policy_learning_rate", -1.0),
        ("l2tl.policy_warmup", -1),
        ("l2tl.levels", 1),
        ("l2tl.entropy", -0.1),
        ("l2tl.joint_share", 0.0),
        ("l2tl.joint_share", 1.5),
        ("l2tl.oversample", 0),
        ("l2tl.credit", "fair"),
        ("l2tl.reward", "gold"),
        ("l2tl.start", "warm"),
        ("l2tl.relabel", "yes"),
        ("l2tl.relabel", 2),
        ("strategy", "parameter_server"),
        ("checkpoint_every", 0),
    ],
)
def test_refuses_and_names_the_field(path, value):
    experiment = config.Experiment()
    owner = experiment
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, name, value)
    with pytest.raises(InputError, match=f"`{path}`.*Received: "):
        config.check(experiment)


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


def test_imports_no_tensorflow():
    code = "import sys, tf_transfer.config; print('tensorflow' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"
