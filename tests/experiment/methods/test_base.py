import itertools

import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment.methods import METHODS, base
from tf_transfer.experiment.methods.base import planned_steps


def test_the_default_experiment_runs_the_methods_of_the_papers():
    later = ("co_tuning", "examples", "clusters")
    expected = [n for n in METHODS if not any(word in n for word in later)]
    assert list(config_lib.Experiment().methods) == expected


def test_every_method_says_what_it_does_and_names_methods_that_exist():
    for name, method in METHODS.items():
        assert method.name == name
        assert method.about.endswith(".")
        assert set(method.controls) <= set(METHODS)
        assert method.head in (None, "fresh", "related")


def test_which_methods_can_be_chosen_and_which_learn_weights():
    candidates = {name for name, m in METHODS.items() if m.candidate}
    assert candidates == {
        "scratch",
        "finetune",
        "finetune_related",
        "datl",
        "l2tl",
        "co_tuning",
        "datl_co_tuning",
        "datl_clusters",
        "datl_examples",
    }
    assert [name for name, m in METHODS.items() if m.learns_weights] == ["l2tl"]
    blind = [name for name, m in METHODS.items() if not m.uses_source]
    assert blind == ["scratch"]


def counted_steps(config, methods, has_generalist):
    """The steps of methods, counted by hand."""
    tuning = config.finetuning
    runs = len(tuning.learning_rates) + 1
    tuned, heads = runs * tuning.steps, runs * tuning.head_steps
    by_weight = {"l2tl", "l2tl_frozen"}
    jointly = {"joint"} | by_weight
    co_tuned = {"co_tuning", "co_tuning_shuffled", "datl_co_tuning"}
    steps = 0
    if methods - {"scratch"} and not has_generalist:
        steps += config.generalist.steps
    steps += len(methods) * tuned + len(methods - jointly - co_tuned) * heads
    own, tuned_before = set(), methods & by_weight
    if config.l2tl.pretrain:
        own = by_weight
    elif tuned_before:
        tuned_before = {"finetune_related"} - methods
    if config.l2tl.relabel:
        steps += len(tuned_before) * (tuned + heads)
    steps += config.l2tl.steps * ("l2tl" in methods)
    tuned_alone = {"finetune", "finetune_related"}
    shared = bool(
        methods & (jointly | tuned_alone | co_tuned - {"datl_co_tuning"}) - own
    )
    own |= {"datl_uniform", "datl_reversed"}
    own |= {"datl_examples", "datl_examples_shuffled"}
    own |= {"datl_clusters", "datl_clusters_random"}
    weighted = len(methods & own)
    weighted += bool(methods & {"datl", "datl_co_tuning"})
    return steps + config.pretraining.steps * (shared + weighted)


@pytest.mark.parametrize("relabel", [True, False])
@pytest.mark.parametrize("pretrain", [True, False])
@pytest.mark.parametrize("has_generalist", [True, False])
def test_planned_steps_are_those_that_a_count_by_hand_gives(
    relabel, pretrain, has_generalist
):
    rng = np.random.default_rng(0)
    for _ in range(30):
        steps = rng.integers(1, 100, 5).tolist()
        config = config_lib.Experiment(
            generalist=config_lib.Training(steps=steps[0]),
            pretraining=config_lib.Training(steps=steps[1]),
            finetuning=config_lib.FineTuning(
                steps=steps[2],
                head_steps=int(rng.integers(0, 3)),
                learning_rates=(0.1,) * int(rng.integers(1, 4)),
            ),
            l2tl=config_lib.L2tl(
                steps=steps[3], relabel=relabel, pretrain=pretrain
            ),
        )
        chosen = rng.random(len(METHODS)) < 0.4
        methods = set(itertools.compress(METHODS, chosen))
        expected = counted_steps(config, methods, has_generalist)
        assert planned_steps(config, methods, has_generalist) == expected


def test_a_pretrained_generalist_takes_no_steps():
    config = helpers.tiny_experiment(generalist_path="its.keras")
    stages = METHODS["datl"].stages(config)
    expected = sum(stages.values()) - config.generalist.steps
    assert planned_steps(config, ["datl"]) == expected


def test_source_images_are_counted_by_hand():
    """Of the generalist (20 x 16), the second training (4 x 16), learning
    (4 x 16) and the joint part of fine-tuning, .6 of its steps.
    """
    config = helpers.tiny_experiment()
    joint = config.joint_steps * 16
    expected = {
        "scratch": 0,
        "finetune": 384,
        "datl": 384,
        "joint": 384 + joint,
        "l2tl": 448 + joint,
    }
    found = {name: base.source_images(config, name) for name in expected}
    assert found == expected
    config.generalist_path = "given.keras"
    assert base.source_images(config, "datl") == 64
