import keras
import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.experiment import compiled_models
from tf_transfer.l2tl.policy import FixedPolicy, WeightPolicy


def make(**changes):
    config = helpers.tiny_experiment(**changes)
    return compiled_models.CompiledModels(config, (8, 8, 1), 8, 4)


def test_models_share_one_architecture():
    models = make()
    shapes = [v.shape for v in models.source.state()]
    assert shapes == [v.shape for v in models.generalist.state()]
    assert shapes[-1] == (8,)
    assert models.target.state()[-1].shape == (4,)
    body = models.target.state()[:-2]
    assert [v.shape for v in body] == shapes[:-2]


def test_joint_models_take_the_settings():
    settings = config_lib.L2tl(levels=5, entropy=0.3, credit="gradient")
    models = make(l2tl=settings)
    assert isinstance(models.joint.model.policy, FixedPolicy)
    policy = models.learner.model.policy
    assert isinstance(policy, WeightPolicy)
    assert (len(policy.levels), policy.entropy) == (5, 0.3)
    assert type(models.learner.model.credit).__name__ == "GradientCredit"


@pytest.mark.parametrize("form", ["flat", "pooled"])
def test_encoders_are_of_the_precision_that_is_asked_for(form):
    models = make(
        encoder=config_lib.Encoder(
            width=4, form=form, precision="mixed_bfloat16"
        )
    )
    learner = models.learner.model
    for encoder in (models.target.model.layers[0], learner.encoder):
        assert encoder.outputs[0].dtype == "bfloat16"
        assert {v.dtype for v in encoder.variables} == {"float32"}
    for model in (models.target.model, learner.classifier()):
        logits = model(np.zeros((1, 8, 8, 1), np.float32))
        assert logits.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_a_restarted_learner_has_forgotten_everything():
    learner = make().learner
    generalist = helpers.tiny_classifier(classes=8)
    before = learner.state()
    for variable in learner.model.variables:
        if variable.dtype == "float32":
            variable.assign(variable + 1)
    target = helpers.tiny_classifier(classes=4)
    learner.restart(generalist, target.layers[-1].get_weights())
    model = learner.model
    for old, new in zip(before, learner.state(), strict=True):
        assert old.shape == new.shape
    start = np.array(model.policy.start_logits)
    np.testing.assert_allclose(start, -np.log(start.shape[1]), rtol=1e-6)
    model.policy.start_logits.assign(0 * start)
    learned = [*model.policy.variables, *model.credit.variables]
    for variable in learned:
        np.testing.assert_array_equal(variable, np.zeros(variable.shape))
    encoder = generalist.layers[0].get_weights()
    for old, new in zip(encoder, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for head, original in (
        (model.source_head, generalist.layers[-1]),
        (model.target_head, target.layers[-1]),
    ):
        for old, new in zip(
            original.get_weights(), head.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(old, new)


def test_only_joint_training_learns_target_labels_from_the_source():
    models = make()
    assert models.learner.model.relation is None
    model = models.joint.model
    np.testing.assert_array_equal(model.relation, np.zeros((8, 4)))
    model.relate(np.full((8, 4), 0.25))
    head = helpers.tiny_classifier(4).layers[-1].get_weights()
    models.joint.restart(helpers.tiny_classifier(8), head)
    np.testing.assert_array_equal(model.relation, np.zeros((8, 4)))
    settings = config_lib.L2tl(relabel=False)
    assert make(l2tl=settings).joint.model.relation is None
