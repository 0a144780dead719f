"""L2TL and joint training, with learned or fixed class weights.

Like fine-tuning, joint training starts from the model trained on the whole
source, or, with `l2tl.pretrain`, further trained by the class weights. Its last
steps are on the target alone.
"""

import functools
import warnings
from collections.abc import Callable

import keras
import numpy as np

from tf_transfer.config import Experiment, Training
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import Part
from tf_transfer.data.streams import streams
from tf_transfer.datl.importance_weights import ImportanceWeights
from tf_transfer.errors import InputError
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods import base
from tf_transfer.experiment.methods.base import register
from tf_transfer.experiment.methods.baselines import finetune_related
from tf_transfer.experiment.methods.datl import pretrain_to
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.stages import optimizers
from tf_transfer.experiment.stages.pipelines import BatchesFrom
from tf_transfer.experiment.stages.trainers import L2TLTrainer, State
from tf_transfer.l2tl.credits.reinforce import Reinforce
from tf_transfer.models import class_relation
from tf_transfer.training import distribution
from tf_transfer.utils import tf_data


def _stages(
    name: str, learns: bool = False, weighted: bool = True
) -> Callable[[Experiment], base.Stages]:
    """Returns the stages of joint training.

    Args:
        name: of the method.
        learns: whether it learns class weights first.
        weighted: whether its source classes have weights. It may then train
            with target labels for source images, which takes a fine-tuned
            model.
    """

    def stages(config: Experiment) -> base.Stages:
        start, tuned = "unweighted", finetune_related.name
        if weighted and config.l2tl.pretrain:
            start, tuned = name, f"{name}/relation"
        steps = base.pretrained(config, start)
        steps |= base.tuning(config, name, heads=False)
        if weighted and config.l2tl.relabel:
            steps |= base.tuning(config, tuned)
        if learns:
            steps[f"{name}/learning"] = config.l2tl.steps
        return steps

    return stages


def _check(config: Experiment, target: ImageData | None) -> None:
    """Raises InputError if the policy could not learn."""
    settings = config.l2tl
    if settings.policy_warmup >= settings.steps:
        raise InputError(
            "`l2tl.policy_warmup` must be below `l2tl.steps`, or the policy "
            f"never learns. Received: {settings.policy_warmup} of "
            f"{settings.steps}"
        )
    if target is None or settings.credit != "feature":
        return
    # This credit shares the validation images out to the devices.
    count = config.data.validation_per_class * target.num_classes
    devices = distribution.strategy(config.strategy).num_replicas_in_sync
    if devices > 1 and (not count or count % devices):
        raise InputError(
            "For `l2tl` the number of validation images, "
            "`data.validation_per_class` for each target class, must be "
            f"divisible by the number of devices. Received: {count} for "
            f"{devices}"
        )


@register(stages=_stages("joint", weighted=False), family="l2tl", joint=True)
def joint(run: SeedRun) -> Outcome:
    """Control: after the whole source, source and target with equal weights."""
    return train_uniform(run)


@register(
    stages=_stages("l2tl", learns=True),
    candidate=True,
    controls=("finetune_related", "joint", "l2tl_frozen"),
    joint=True,
    learns_weights=True,
    check=_check,
)
def l2tl(run: SeedRun) -> Outcome:
    """Learns class weights, then trains source and target jointly by them."""
    return train_weighted(run, *learn_weights(run))


@register(stages=_stages("l2tl_frozen"), family="l2tl", joint=True)
def l2tl_frozen(run: SeedRun) -> Outcome:
    """Control: as `l2tl`, by the weights where the policy started."""
    return train_weighted(run, *learn_weights(run, frozen=True))


def train_uniform(run: SeedRun) -> Outcome:
    """Trains jointly with equal weights; source images keep their labels."""
    trainer = run.models.joint

    def train(part: Part, rate: float) -> State:
        _restart(run, trainer, part, run.pretrain_unweighted())
        trainer.model.policy.assign(np.ones(run.source.num_classes))
        return _fit(run, trainer, part, rate, _source(run))

    return run.choose_rate(train)


def train_weighted(run: SeedRun, weights: np.ndarray, scale: float) -> Outcome:
    """Trains jointly with fixed class weights.

    `datl.apply` says how the weights are applied: by drawing source images,
    or in the loss.

    Args:
        run: the seed's run.
        weights: of the source classes, `[C]`.
        scale: of the source loss; the target's is 1.
    """
    trainer = run.models.joint
    importance = ImportanceWeights(run.source.num_classes)
    importance.assign(weights, run.source.prior)
    in_loss = run.config.datl.apply == "attach"
    # Made once for all rates: that takes as long as some training steps.
    source = _source(run, None if in_loss else importance)
    if run.config.l2tl.pretrain:
        # `datl.repeats` alone shapes weights that are learned.
        neutral = {"temper": 1.0, "clip": None, "floor": 0.0, "top_k": None}
        start = pretrain_to(run, run.source.prior * weights, **neutral)
        tune = functools.partial(run.finetune_at, state=start)
    else:
        start, tune = run.pretrain_unweighted(), run.finetune_unweighted_at
    run.learned = {"weights": weights.tolist(), "scale": scale}

    def train(part: Part, rate: float) -> State:
        relation = None
        if run.config.l2tl.relabel:
            relation = _source_relation(run, tune, part, rate)
        _restart(run, trainer, part, start)
        if relation is not None:
            trainer.model.relate(relation)
        trainer.model.policy.assign(
            importance.numpy() if in_loss else np.ones_like(weights), scale
        )
        return _fit(run, trainer, part, rate, source)

    return run.choose_rate(train)


def learn_weights(
    run: SeedRun, frozen: bool = False
) -> tuple[np.ndarray, float]:
    """Learns class weights, rewarded by the validation images.

    Args:
        run: the seed's run.
        frozen: leave the policy where it starts.

    Returns:
        The expected weights, `[C]`, mean 1 under P_s, and the expected scale
        of the source loss.
    """
    trainer = run.models.learner
    if frozen:
        _start_policy(run, trainer)
    else:
        _learn(run, trainer)
    weights = trainer.model.importance_weights(run.source.prior)
    return weights, float(trainer.model.policy.expected_scale())


def _learn(run: SeedRun, trainer: L2TLTrainer) -> None:
    settings = run.config.l2tl
    recipe = optimizers.RECIPES[run.config.optimizer]
    rate = settings.learning_rate or recipe.target[0]
    state = (
        run.train_generalist()
        if settings.pretrain
        else run.pretrain_unweighted()
    )
    _restart(run, trainer, Part.TRAIN, state)
    _start_policy(run, trainer)
    log = PolicyLog(run.source.prior)
    log.set_model(trainer.model)
    start = log.read()
    run.fit(
        "learning",
        trainer,
        _streams(run, _source(run), Part.TRAIN),
        Training(steps=settings.steps, learning_rate=rate),
        [log],
        weights=log.weights,
    )
    history = run.cache.history["learning"]
    for name, value in start.items():
        history[name].insert(0, value)


class PolicyLog(keras.callbacks.Callback):
    """Adds the state of the policy to the logs of each epoch.

    `class_weights`, `[C]` with mean 1 under P_s, and `expected_scale` of the
    source loss; with the credit `reinforce` also the `baseline` of the reward.

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
        """Returns the present weights and scale."""
        return {
            "class_weights": [round(float(w), 4) for w in self.weights()],
            "expected_scale": float(self.model.policy.expected_scale()),
        }

    def weights(self) -> np.ndarray:
        """Returns the present weights, also in the warm-up."""
        with warnings.catch_warnings():
            # In the warm-up, the policy has not learned yet.
            warnings.simplefilter("ignore", UserWarning)
            return self.model.importance_weights(self.source_prior)


def _restart(
    run: SeedRun, trainer: L2TLTrainer, part: Part, start: State
) -> None:
    """Resets the model to a source model; source images keep their labels."""
    with run.models.source.loaded(start) as source:
        trainer.restart(source, run.target_head(part, run.head))


def _source_relation(
    run: SeedRun, tune: Callable[..., State], part: Part, rate: float
) -> np.ndarray:
    """Returns which target classes each source class looks like, `[C_s, C_t]`.

    To a model fine-tuned on the same target images. It starts from a related
    head where one can be mixed: with few labels, a model with a fresh head
    confuses classes.

    Args:
        run: the seed's run.
        tune: fine-tunes from where the joint training starts.
        part: of the target, to fine-tune with.
        rate: the learning rate.
    """
    head = finetune_related.head if run.models.mixes_heads else run.head
    with run.cache.separate_history():
        state = tune(rate, part=part, head=head)
    with run.models.target.loaded(state) as model:
        return class_relation.class_relation(
            model, run.parts.sample, run.source.num_classes
        )


def _start_policy(run: SeedRun, trainer: L2TLTrainer) -> None:
    start = None
    if run.config.l2tl.start == "datl":
        start = run.estimate_importance().numpy()
    trainer.model.policy.restart(start, run.seed)


def _source(
    run: SeedRun, importance: ImportanceWeights | None = None
) -> BatchesFrom:
    """Returns the source batches of joint training, weighted or not."""
    config = run.config
    size = config.pretraining.batch_size * config.l2tl.oversample
    return run.pipelines.source(size, importance)


def _streams(run: SeedRun, source: BatchesFrom, part: Part) -> BatchesFrom:
    """Returns endless streams from a step on; validation comes whole."""
    target = run.pipelines.target(part)
    validation = run.target.validation
    whole = validation.batches(len(validation.labels))
    return lambda start: tf_data.quiet(
        streams(source(start), target(start), whole)
    )


def _fit(
    run: SeedRun,
    trainer: L2TLTrainer,
    part: Part,
    rate: float,
    source: BatchesFrom,
) -> State:
    """Trains jointly, and in the last steps on the target alone."""
    steps = run.config.joint_steps
    stage = Training(steps=steps, learning_rate=rate)
    run.fit("joint", trainer, _streams(run, source, part), stage)
    model = trainer.model.classifier()
    state = [np.array(variable) for variable in model.variables]
    steps = run.config.finetuning.steps - steps
    if not steps:
        return state
    stage = Training(steps=steps, learning_rate=rate)
    target = run.models.target
    with target.loaded(state):
        run.fit("finetuning", target, run.pipelines.target(part), stage)
        return target.state()
