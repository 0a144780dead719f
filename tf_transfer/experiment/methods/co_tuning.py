"""Co-tuning and its control (You et al. 2020)."""

from collections.abc import Callable

import numpy as np

from tf_transfer.config import Experiment, Training
from tf_transfer.data.splits import Part
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods import base
from tf_transfer.experiment.methods.base import register
from tf_transfer.experiment.methods.baselines import finetune_related
from tf_transfer.experiment.methods.datl import datl, pretrain_weighted
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.stages.trainers import State
from tf_transfer.models import class_relation


def _stages(name: str) -> Callable[[Experiment], base.Stages]:
    """Returns the stages of fine-tuning from the whole source."""
    return lambda config: (
        base.pretrained(config, "unweighted")
        | base.tuning(config, name, heads=False)
    )


@register(
    stages=_stages("co_tuning"),
    candidate=True,
    controls=(finetune_related.name, "co_tuning_shuffled"),
    head="related",
)
def co_tuning(run: SeedRun) -> Outcome:
    """Fine-tunes together with the source head (co-tuning)."""
    return co_tune(run, run.pretrain_unweighted())


@register(
    stages=_stages("co_tuning_shuffled"), family="co_tuning", head="related"
)
def co_tuning_shuffled(run: SeedRun) -> Outcome:
    """Control: co-tuning to source classes that are drawn at random."""
    places = np.random.default_rng(run.seed).permutation(run.source.num_classes)
    order = np.empty_like(places)
    order[places] = np.roll(places, 1)  # no class keeps its own place
    return co_tune(run, run.pretrain_unweighted(), order)


@register(
    stages=lambda config: (
        base.pretrained(config, "weighted")
        | base.tuning(config, "datl_co_tuning", heads=False)
    ),
    candidate=True,
    controls=(finetune_related.name, datl.name, co_tuning.name),
    head="related",
    family="co_tuning",
)
def datl_co_tuning(run: SeedRun) -> Outcome:
    """Pre-trains on the source weighted by DATL, then co-tunes."""
    return co_tune(run, pretrain_weighted(run))


def co_tune(
    run: SeedRun, state: State, order: np.ndarray | None = None
) -> Outcome:
    """Trains target and source head on the labelled target.

    Args:
        run: the seed's run.
        state: of the source model.
        order: the order in which the source head gets the source classes,
            `[C_s]`; by default unchanged.
    """
    run.models.check_mixes_heads()
    settings, trainer = run.config.finetuning, run.models.co_tuned

    def train(part: Part, rate: float) -> State:
        target = run.target.part(part)
        with run.models.source.loaded(state) as source:
            relation = class_relation.class_relation(
                source, target.batches(), target.num_classes
            )
            trainer.restart(source, relation)
        if order is not None:
            trainer.model.relation.assign(relation[:, order])
        stage = Training(steps=settings.steps, learning_rate=rate)
        run.fit("finetuning", trainer, run.pipelines.target(part), stage)
        return trainer.target_state()

    return run.choose_rate(train)
