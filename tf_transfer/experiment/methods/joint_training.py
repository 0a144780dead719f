"""Joint training on source and target, with learned or given class weights.

Starts, like fine-tuning, from the model trained on the whole source, and ends
with steps on the target alone.
"""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.config import Training
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.streams import streams
from tf_transfer.datl.importance_weights import ImportanceWeights
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.trainers import L2TLTrainer, State
from tf_transfer.l2tl.credits.reinforce import Reinforce
from tf_transfer.models import class_relation
from tf_transfer.utils import tf_data


def train_uniform(trial: SeedRun) -> Outcome:
    """Trains jointly with equal weights; source images keep their labels."""
    bench = trial.bench.joint
    source = _source(trial)

    def once(images: ImageData, rate: float) -> State:
        _restart(trial, bench, images)
        bench.model.policy.assign(np.ones(trial.source.num_classes))
        return _fit(trial, bench, images, rate, source)

    return trial.choose(once)


def train_weighted(
    trial: SeedRun, weights: np.ndarray, scale: float
) -> Outcome:
    """Trains jointly with fixed class weights.

    They are applied as `datl.apply` says: by drawing source images, or in
    the loss.

    Args:
        trial: the seed.
        weights: of the source classes, `[C]`.
        scale: of the source loss; the target's is 1.
    """
    bench = trial.bench.joint
    importance = ImportanceWeights(trial.source.num_classes)
    importance.assign(weights, trial.source.prior)
    drawn = trial.config.datl.apply != "attach"
    source = _source(trial, importance if drawn else None)

    def once(images: ImageData, rate: float) -> State:
        _relate(trial, bench, images, rate)
        in_loss = np.ones_like(weights) if drawn else importance.numpy()
        bench.model.policy.assign(in_loss, scale)
        return _fit(trial, bench, images, rate, source)

    return trial.choose(once)


def learn_weights(
    trial: SeedRun, frozen: bool = False
) -> tuple[np.ndarray, float]:
    """Learns class weights, by the reward on the validation images.

    Args:
        trial: the seed.
        frozen: leave the policy where it starts.

    Returns:
        The expected weights, `[C]`, mean 1 under P_s, and the expected scale
        of the source loss.
    """
    bench = trial.bench.learner
    if frozen:
        _start_policy(trial, bench)
    else:
        _learn(trial, bench)
    weights = bench.model.importance_weights(trial.source.prior)
    scale = float(bench.model.policy.expected_scale())
    trial.learned = {"weights": weights.tolist(), "scale": scale}
    return weights, scale


def _learn(trial: SeedRun, bench: L2TLTrainer) -> None:
    settings = trial.config.l2tl
    _restart(trial, bench, trial.target.train)
    _start_policy(trial, bench)
    stage = Training(steps=settings.steps, learning_rate=settings.learning_rate)
    count = trial.config.pretraining.batch_size
    source = trial.batches.whole_source(count * settings.oversample)
    batches = _streams(trial, source, trial.target.train)
    learned = functools.partial(
        bench.model.importance_weights, trial.source.prior
    )
    logbook = PolicyLog(trial.source.prior)
    logbook.set_model(bench.model)
    start = logbook.read()
    trial.fit("learning", bench, batches, stage, [logbook], weights=learned)
    history = trial.ledger.history["learning"]
    for name, value in start.items():
        history[name].insert(0, value)


class PolicyLog(keras.callbacks.Callback):
    """Adds to the logs of an epoch what the policy has come to.

    `class_weights`, `[C]` with mean 1 under P_s, and `expected_scale` of the
    source loss; with the credit `reinforce` the `baseline` of the reward, too.

    Args:
        source_prior: P_s, `[C]`.
    """

    def __init__(self, source_prior: np.ndarray):
        super().__init__()
        self.source_prior = source_prior

    def on_epoch_end(self, epoch, logs=None):
        logs |= self.read()
        if isinstance(self.model.credit, Reinforce):
            logs["baseline"] = float(self.model.credit.baseline())

    def read(self) -> dict:
        """Returns the weights and the scale as they are now."""
        weights = self.model.importance_weights(self.source_prior)
        return {
            "class_weights": [round(float(w), 4) for w in weights],
            "expected_scale": float(self.model.policy.expected_scale()),
        }


def _restart(trial: SeedRun, bench: L2TLTrainer, images: ImageData) -> None:
    """Starts anew from the whole source; source images keep their labels."""
    source = trial.bench.source
    source.load(trial.unweighted)
    bench.restart(source.model, trial.target_head(images, trial.head))


def _relate(
    trial: SeedRun, bench: L2TLTrainer, images: ImageData, rate: float
) -> None:
    """Starts anew, with target labels for the source images, if so set.

    A fine-tuned model, which has seen the same target images, tells which
    target classes every source class looks like. It starts from a related
    head where one can be mixed: with few labels, a fresh one takes classes
    for each other.
    """
    relation = None
    if trial.config.l2tl.relabel:
        head = "related" if trial.bench.mixes_heads else trial.head
        with trial.ledger.apart():  # its stages are none of this method's
            trial.bench.target.load(trial.tuned(head, images, rate))
        relation = class_relation.class_relation(
            trial.bench.target.model,
            trial.some_source,
            bench.model.num_source_classes,
        )
    _restart(trial, bench, images)
    if relation is not None:
        bench.model.relate(relation)


def _start_policy(trial: SeedRun, bench: L2TLTrainer) -> None:
    start = None
    if trial.config.l2tl.start == "datl":
        start = trial.estimated.numpy()
    bench.model.policy.restart(start, trial.seed)


def _source(
    trial: SeedRun, importance: ImportanceWeights | None = None
) -> Callable[[int], tf.data.Dataset]:
    """Gives the source batches of joint training, weighted or not."""
    config = trial.config
    batch_size = config.pretraining.batch_size * config.l2tl.oversample
    if importance is None:
        return trial.batches.whole_source(batch_size)
    drawn = trial.batches.source(batch_size, importance)
    # Made once for all rates: that takes as long as some training steps.
    return functools.cache(drawn)


def _streams(
    trial: SeedRun,
    source: Callable[[int], tf.data.Dataset],
    images: ImageData,
) -> Callable[[int], tf.data.Dataset]:
    """Gives endless streams from a step on; validation comes whole."""
    target = trial.batches.target(images)
    validation = trial.target.validation
    whole = validation.batches(len(validation.labels))

    def from_step(start: int) -> tf.data.Dataset:
        return tf_data.quiet(streams(source(start), target(start), whole))

    return from_step


def _fit(
    trial: SeedRun,
    bench: L2TLTrainer,
    images: ImageData,
    rate: float,
    source: Callable[[int], tf.data.Dataset],
) -> State:
    """Trains jointly, and in the rest of the steps on the target alone."""
    shared = trial.config.joint_steps
    stage = Training(steps=shared, learning_rate=rate)
    trial.fit("joint", bench, _streams(trial, source, images), stage)
    model = bench.model.classifier()
    state = [np.array(variable) for variable in model.variables]
    alone = trial.config.finetuning.steps - shared
    if not alone:
        return state
    target = trial.bench.target
    target.load(state)
    stage = Training(steps=alone, learning_rate=rate)
    trial.fit("finetuning", target, trial.batches.target(images), stage)
    return target.state()
