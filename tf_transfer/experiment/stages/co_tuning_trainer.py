"""A co-tuned model that is traced once and trained again and again."""

from collections.abc import Iterable

import keras
import numpy as np

from tf_transfer.co_tuning.model import CoTuning
from tf_transfer.experiment.stages.trainers import State, TwoHeadTrainer


class CoTuningTrainer(TwoHeadTrainer):
    """A `CoTuning` model that is trained again and again.

    Args:
        model: to be compiled here.
        stages: the steps of everything that it will be trained for.
        optimizer: of encoder and heads.
    """

    def __init__(
        self,
        model: CoTuning,
        stages: Iterable[int] = (),
        optimizer: str = "sgd",
    ):
        self._target = model.classifier()
        super().__init__(model, stages, optimizer)

    def _classifier(self) -> keras.Model:
        return self._target

    def chance_loss(self) -> float:
        # The loss is a sum over both heads.
        target, source = self.model.relation.shape
        return float(np.log(target) + self.model.weight * np.log(source))

    def restart(self, source: keras.Model, relation: np.ndarray) -> None:
        """Resets everything, and starts from a trained source classifier.

        Args:
            source: gives encoder and source head.
            relation: p(y_s | y_t), `[C_t, C_s]`.
        """
        with self.loaded(self._initial):
            self.model.restart(source, relation)

    def target_state(self) -> State:
        """Returns the values of the target classifier's variables."""
        return [np.array(variable) for variable in self._target.variables]
