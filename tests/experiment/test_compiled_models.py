import keras
import numpy as np

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment import compiled_models
from tf_transfer.l2tl.policy import FixedPolicy, WeightPolicy


def make(**changes):
    config = helpers.tiny_experiment(**changes)
    return compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)


def test_models_share_one_architecture():
    bench = make()
    shapes = [v.shape for v in bench.source.state()]
    assert shapes == [v.shape for v in bench.generalist.state()]
    assert shapes[-1] == (8,)
    assert bench.target.state()[-1].shape == (4,)
    body = bench.target.state()[:-2]
    assert [v.shape for v in body] == shapes[:-2]


def test_joint_models_take_the_settings():
    settings = config_lib.L2tl(levels=5, entropy=0.3, credit="gradient")
    bench = make(l2tl=settings)
    assert isinstance(bench.joint.model.policy, FixedPolicy)
    policy = bench.learner.model.policy
    assert isinstance(policy, WeightPolicy)
    assert (len(policy.levels), policy.entropy) == (5, 0.3)
    assert type(bench.learner.model.credit).__name__ == "GradientCredit"


def test_encoders_are_of_the_precision_that_is_asked_for():
    bench = make(
        encoder=config_lib.Encoder(width=4, precision="mixed_bfloat16")
    )
    learner = bench.learner.model
    for encoder in (bench.target.model.layers[0], learner.encoder):
        assert encoder.outputs[0].dtype == "bfloat16"
        assert {v.dtype for v in encoder.variables} == {"float32"}
    for model in (bench.target.model, learner.classifier()):
        logits = model(np.zeros((1, 8, 8, 1), np.float32))
        assert logits.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_a_restarted_learner_has_forgotten_everything():
    bench = make().learner
    generalist = helpers.tiny_classifier(classes=8)
    before = bench.state()
    for variable in bench.model.variables:
        if variable.dtype == "float32":
            variable.assign(variable + 1)
    target = helpers.tiny_classifier(classes=4)
    bench.restart(generalist, target.layers[-1].get_weights())
    model = bench.model
    for old, new in zip(before, bench.state(), strict=True):
        assert old.shape == new.shape
    kept = [*model.policy.variables, *model.credit.variables]
    for variable in kept:
        np.testing.assert_array_equal(variable, np.zeros(variable.shape))
    encoder = generalist.layers[0].get_weights()
    for old, new in zip(encoder, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for head, given in (
        (model.source_head, generalist.layers[-1]),
        (model.target_head, target.layers[-1]),
    ):
        for old, new in zip(
            given.get_weights(), head.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(old, new)


def test_only_joint_training_learns_target_labels_from_the_source():
    bench = make()
    assert bench.learner.model.relation is None
    model = bench.joint.model
    np.testing.assert_array_equal(model.relation, np.zeros((8, 4)))
    model.relate(np.full((8, 4), 0.25))
    head = helpers.tiny_classifier(4).layers[-1].get_weights()
    bench.joint.restart(helpers.tiny_classifier(8), head)
    np.testing.assert_array_equal(model.relation, np.zeros((8, 4)))
    settings = config_lib.L2tl(relabel=False)
    assert make(l2tl=settings).joint.model.relation is None
