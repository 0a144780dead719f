"""Trains one stage after another, and watches what each has learned."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tf_transfer.config import Training
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import DivergedError, InputError
from tf_transfer.experiment.stages import health
from tf_transfer.experiment.stages.pipelines import BatchesFrom
from tf_transfer.experiment.stages.stage_cache import StageCache
from tf_transfer.experiment.stages.trainers import Trainer
from tf_transfer.training.tensorboard import TensorBoardWriter
from tf_transfer.utils.progress import warn


class StageFitter:
    """Trains one stage after another, and watches what each has learned.

    Args:
        cache: of the stages; it gives their folders and takes their logs.
        seed: of the run, for warnings.
        progress: a callback of all stages.
        tensorboard: writes the logs.
        every: steps between checkpoints.
    """

    def __init__(
        self,
        cache: StageCache,
        seed: int,
        progress: keras.callbacks.Callback,
        tensorboard: TensorBoardWriter,
        every: int,
    ):
        self.cache = cache
        self.seed = seed
        self._progress = progress
        self._tensorboard = tensorboard
        self._every = every

    def fit(
        self,
        name: str,
        trainer: Trainer,
        images: ImageData,
        batches: BatchesFrom,
        stage: Training,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        weights: Callable[[], np.ndarray] | None = None,
        **settings,
    ) -> None:
        """Trains a stage, or the rest of it after an interruption.

        A model that has learned nothing is trained again at a lower rate.

        Args:
            name: of the stage in the history.
            trainer: holds the model at its start, and then at its end.
            images: that the model must tell apart after the stage.
            batches: the endless data from a step on.
            stage: steps and learning rate.
            callbacks: of the stage.
            weights: returns the importance weights, `[C]`, for TensorBoard.
            **settings: `also` and `fresh` of `Trainer.fit`.

        Raises:
            InputError: if it learns nothing at the lowest rate, either.
        """
        start, failed, seconds = trainer.state(), [], 0.0
        for rate in health.lower_rates(stage.learning_rate):
            folder = self.cache.next_folder()
            writers = self._tensorboard.stage(folder, name, weights)
            try:
                training = trainer.fit(
                    batches,
                    dataclasses.replace(stage, learning_rate=rate),
                    [*callbacks, *writers, self._progress],
                    folder=folder,
                    every=self._every,
                    **settings,
                )
            except DivergedError:
                trouble = health.DIVERGED
            else:
                logs = training.history()
                seconds += training.seconds
                trouble = _trouble(trainer, logs["loss"], images, stage.steps)
            if not trouble:
                self.cache.add(name, logs, seconds, failed)
                return
            failed.append(rate)
            warn(
                f"After {name} at the learning rate {rate:.2g}, the model of "
                f"seed {self.seed} {trouble}; the next rate is lower."
            )
            trainer.assign(start)
        raise InputError(
            f"The model {trouble}, at each of several learning rates; set "
            "smaller ones, or look at the images. "
            f"Received: {name} of seed {self.seed} at {rate:.2g}"
        )


def _trouble(
    trainer: Trainer, losses: Sequence[float], images: ImageData, steps: int
) -> str:
    """Returns what is wrong with a model after a stage, if anything."""
    places = np.linspace(0, len(images.labels) - 1, health.PROBE)
    probe = images.images[np.unique(places.astype(int))]
    if (probe == probe[0]).all():
        return ""  # nothing can tell them apart
    logits = trainer.probe(probe.astype(np.float32) / 255)
    return health.trouble(losses, logits, steps, trainer.chance_loss())
