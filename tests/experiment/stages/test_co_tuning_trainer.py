import numpy as np
import pytest

from tests import helpers
from tf_transfer.co_tuning.model import CoTuning
from tf_transfer.experiment.stages.co_tuning_trainer import CoTuningTrainer


def test_the_loss_of_equal_probabilities_and_the_target_classifier():
    source = helpers.tiny_classifier(classes=8)
    model = CoTuning(source, np.full((4, 8), 1 / 8), weight=0.5)
    for head in (model.source_head, model.target_head):
        head.set_weights([np.zeros_like(w) for w in head.get_weights()])
    trainer = CoTuningTrainer(model, [10])
    images = helpers.blobs()
    loss = model.evaluate(images.batches(30), verbose=0)[0]
    assert loss == pytest.approx(np.log(4), rel=1e-5)
    assert trainer.chance_loss() == pytest.approx(np.log(4) + np.log(8) / 2)
    own = model.classifier().get_weights()
    assert helpers.equal_states(trainer.target_state(), own)
    assert len(trainer.state()) == len(own) + 3  # source head and relation
