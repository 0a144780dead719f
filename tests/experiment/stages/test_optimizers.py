import keras
import numpy as np
import pytest

import tf_transfer as tt
from tests import helpers
from tf_transfer.experiment.stages import optimizers
from tf_transfer.experiment.stages.trainers import L2TLTrainer


def test_each_has_rates_and_trains_a_model():
    for name, recipe in optimizers.RECIPES.items():
        assert sorted(recipe.source) == list(recipe.source)
        assert recipe.target
        model = helpers.tiny_classifier()
        schedule = keras.optimizers.schedules.CosineDecay(0.01, 10)
        optimizer = optimizers.create(name, schedule, model.layers[-1:])
        before = model.get_weights()
        model.compile(optimizer, "mse")
        model.fit(np.ones((4, 8, 8, 1)), np.ones((4, 4)), verbose=0)
        for old, new in zip(before, model.get_weights(), strict=True):
            assert not np.array_equal(old, new) or not old.any()


@pytest.mark.parametrize("form", ["flat", "pooled"])
def test_muon_is_for_matrices_inside_a_model(form):
    """Of AdamW it keeps a second moment, of its own steps it does not."""
    encoder = tt.small_encoder((8, 8, 1), 4, form)
    model = tt.L2TL(encoder, 3, 2, policy=tt.FixedPolicy(3))
    trainer = L2TLTrainer(model, optimizer="muon")
    velocities = [
        v.path.split("/", 1)[1]
        for v in model.optimizer.variables
        if v.name.endswith("velocity")
    ]
    by_muon = {"dense_kernel"} if form == "flat" else {"conv2d_kernel"}
    assert any("head" in path and "kernel" in path for path in velocities)
    assert not any(
        path.endswith(f"{kernel}_velocity")
        for path in velocities
        for kernel in by_muon
        if "head" not in path
    ), velocities
    assert trainer.optimizers()[0] is model.optimizer
