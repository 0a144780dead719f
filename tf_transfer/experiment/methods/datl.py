"""DATL and its controls (Ngiam et al. 2018)."""

from collections.abc import Callable

import numpy as np

from tf_transfer.config import Experiment
from tf_transfer.datl.diagnostics import effective_classes
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods import base
from tf_transfer.experiment.methods.base import register
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.stages.trainers import State


def own_stages(name: str) -> Callable[[Experiment], base.Stages]:
    """Returns the stages of pre-training by weights of a method's own."""
    return lambda config: (
        base.pretrained(config, name) | base.tuning(config, name)
    )


@register(
    stages=lambda config: (
        base.pretrained(config, "weighted") | base.tuning(config, "datl")
    ),
    candidate=True,
    controls=("finetune_related", "datl_uniform", "datl_reversed"),
)
def datl(run: SeedRun) -> Outcome:
    """Pre-trains on the source weighted by P_t / P_s, then fine-tunes."""
    return run.finetune(pretrain_weighted(run))


def pretrain_weighted(run: SeedRun) -> State:
    """Trains on the source weighted by P_t / P_s, once for all methods."""
    importance = run.importance()
    *state, weights = run.cache.share(
        "weighted", lambda: [*run.pretrain(importance), importance.numpy()]
    )
    run.learned = {"weights": weights.tolist()}
    return state


def pretrain_to(run: SeedRun, shares: np.ndarray, **shaping) -> State:
    """Trains on the source, weighted for a target with these class shares.

    Args:
        run: the seed's run.
        shares: of the classes, `[C]`, of any sum.
        **shaping: changes of `SeedRun.importance`.
    """
    importance = run.importance(**shaping)
    importance.update(shares / shares.sum(), run.source.prior)
    return run.pretrain(importance, estimate=False)


@register(stages=own_stages("datl_uniform"), family="datl")
def datl_uniform(run: SeedRun) -> Outcome:
    """Control: equal weights on the classes that DATL would select.

    As many classes as `top_k`, or as DATL's weights effectively draw from.
    """
    drawn = run.source.prior * run.estimate_importance().numpy()
    drawn = drawn.astype(np.float64) / drawn.sum()
    selected = run.config.datl.top_k or round(effective_classes(drawn))
    importance = run.importance(temper=0.0, top_k=max(1, selected))
    return run.finetune(run.pretrain(importance))


@register(stages=own_stages("datl_reversed"), family="datl")
def datl_reversed(run: SeedRun) -> Outcome:
    """Control: the largest weight to the least likely class, and so on."""
    return run.finetune(run.pretrain(run.importance(reverse=True)))
