"""Joint training on source and target, with learned or given class weights.

Starts, like fine-tuning, from the model trained on the whole source, and ends
with steps on the target alone.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_transfer import data
from tf_transfer.config import Training
from tf_transfer.data import ImageData
from tf_transfer.training import ReusableL2TL, State
from tf_transfer.trial import Trial
from tf_transfer.workbench import Outcome


def train(trial: Trial, weights: np.ndarray, scale: float = 1.0) -> Outcome:
    """Trains jointly with fixed class weights.

    Args:
        trial: the seed.
        weights: of the source classes, `[C]`.
        scale: of the source loss; the target's is 1.
    """
    bench = trial.bench.joint

    def once(images: ImageData, rate: float) -> State:
        _restart(trial, bench)
        bench.model.policy.assign(weights, scale)
        return _fit(trial, bench, images, rate)

    return trial.choose(once)


def train_frozen(trial: Trial) -> Outcome:
    """Trains jointly with class weights drawn by a policy that never learns."""
    bench = trial.bench.learner

    def once(images: ImageData, rate: float) -> State:
        _restart(trial, bench)
        _start_policy(trial, bench, learning_rate=0.0)
        return _fit(trial, bench, images, rate)

    return trial.choose(once)


def learn_weights(trial: Trial) -> tuple[np.ndarray, float]:
    """Learns class weights, by the reward on the validation images.

    Returns:
        The expected weights, `[C]`, mean 1 under P_s, and the expected scale
        of the source loss.
    """
    settings, bench = trial.config.l2tl, trial.bench.learner
    _restart(trial, bench)
    _start_policy(trial, bench, settings.policy_learning_rate)
    stage = Training(steps=settings.steps, learning_rate=settings.learning_rate)
    count = trial.config.pretraining.batch_size
    streams = _streams(trial, trial.target.train, count)
    trial.fit("learning", bench, streams, stage)
    weights = bench.model.importance_weights(trial.source.prior)
    scale = float(bench.model.policy.expected_scale())
    trial.learned = {"weights": weights.tolist(), "scale": scale}
    return weights, scale


def _restart(trial: Trial, bench: ReusableL2TL) -> None:
    trial.bench.source.load(trial.unweighted)
    keras.utils.set_random_seed(trial.seed)
    bench.restart(trial.bench.source.model)


def _start_policy(
    trial: Trial, bench: ReusableL2TL, learning_rate: float
) -> None:
    start = None
    if trial.config.l2tl.start == "datl":
        importance = trial.importance()
        importance.update(trial.target_prior.prior, trial.source.prior)
        start = importance.numpy()
    bench.model.policy.restart(start, trial.seed)
    bench.model.policy_optimizer.learning_rate = learning_rate


def _streams(
    trial: Trial, images: ImageData, batch_size: int
) -> Callable[[int], tf.data.Dataset]:
    """Gives endless streams from a step on; validation comes whole."""
    source = trial.whole_source(batch_size * trial.config.l2tl.oversample)
    target = trial.target_batches(images)
    validation = trial.target.validation
    whole = validation.batches(len(validation.labels))

    def streams(start: int) -> tf.data.Dataset:
        return data.quiet(data.streams(source(start), target(start), whole))

    return streams


def _fit(
    trial: Trial, bench: ReusableL2TL, images: ImageData, rate: float
) -> State:
    """Trains jointly, and in the rest of the steps on the target alone."""
    steps = trial.config.finetuning.steps
    shared = round(trial.config.l2tl.joint_share * steps)
    stage = Training(steps=shared, learning_rate=rate)
    streams = _streams(trial, images, trial.config.finetuning.batch_size)
    trial.fit("joint", bench, streams, stage)
    model = bench.model.classifier()
    state = [np.array(variable) for variable in model.variables]
    if shared == steps:
        return state
    target = trial.bench.target
    target.load(state)
    stage = Training(steps=steps - shared, learning_rate=rate)
    batches = trial.target_batches(images)
    trial.fit("finetuning", target, batches, stage)
    return target.state()
