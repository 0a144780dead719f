"""The learning rate of training on the source, found by short trainings."""

import contextlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_transfer.config import Training
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import DivergedError, InputError
from tf_transfer.experiment.records.results import Scores
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.stages.optimizers import RECIPES
from tf_transfer.experiment.stages.trainers import State, Trainer
from tf_transfer.utils.storage.json_fields import Fields

NAME = "rates.json"
MOST = 2**16  # bytes of it
_STEPS = (30, 100)
_HELD_OUT = 1_000  # images
_RATES = (1e-9, 1e3)


def find(
    trainer: Trainer, start: State, source: ImageData, stage: Training
) -> dict[float, float]:
    """Trains a twentieth of a stage's steps at each rate of the optimizer.

    Args:
        trainer: of source classifiers.
        start: the state to start from.
        source: the source images to train with; up to 1,000 of them, a fifth
            at most, are held out.
        stage: steps and batch size of the stage.

    Returns:
        The cross entropy on the held-out images by rate, infinite where the
        training diverged.
    """
    least, most = _STEPS
    steps = max(least, min(stage.steps // 20, most))
    # In ten epochs like the stage's, or the model would be traced again.
    unit = 10 * trainer.steps_per_execution
    steps = min(-(-steps // unit) * unit, stage.steps)
    order = np.random.default_rng(0).permutation(len(source.labels))
    share = min(_HELD_OUT, max(1, len(order) // 5))
    held_out, rest = source.take(np.sort(order[:share])), order[share:]
    indices = np.resize(rest, (steps, stage.batch_size))
    batches = source.gather(
        tf.data.Dataset.from_tensor_slices(indices).repeat()
    )
    losses = {}
    for rate in RECIPES[trainer.optimizer].source:
        settings = Training(steps=steps, learning_rate=rate)
        losses[rate] = np.inf
        with trainer.loaded(start), contextlib.suppress(DivergedError):
            trainer.fit(lambda step: batches, settings)
            logits = trainer.logits(held_out.batches())
            loss = Scores.of(logits, held_out.labels).loss
            losses[rate] = loss if np.isfinite(loss) else np.inf
    return losses


def settle(
    trainer: Trainer,
    start: Callable[[], State],
    source: ImageData,
    stage: Training,
    folder: RunFolder,
) -> float:
    """Returns the rate of training on the source.

    It is that of the stage, or the one that was found before and is kept in
    the run's folder; else it is found now, from the state that `start` then
    makes. For the other arguments, see `find`.

    Raises:
        InputError: if the training diverges at every rate.
    """
    known = stage.learning_rate or read(folder)
    if known:
        return known
    losses = find(trainer, start(), source, stage)
    best = min(losses, key=losses.get)
    if not np.isfinite(losses[best]):
        raise InputError(
            "The training on the source diverges at every learning rate; set a "
            "smaller `generalist.learning_rate` or another `optimizer`. "
            f"Received: {', '.join(map(str, losses))}"
        )
    tried = [
        {"rate": rate, "loss": loss if np.isfinite(loss) else None}
        for rate, loss in losses.items()
    ]
    folder.write(NAME, {"rate": best, "tried": tried})
    return best


def read(folder: RunFolder) -> float | None:
    """Returns the rate that was found for a run, or None.

    Raises:
        InputError: if its file holds something else.
    """
    content = folder.read(NAME, dict, MOST)
    if content is None:
        return None
    fields = Fields(content, "rates", folder.path / NAME)
    return fields.between("rate", *_RATES)
