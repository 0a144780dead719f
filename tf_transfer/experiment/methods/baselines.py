"""Training on the target without choosing source data."""

from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods import base
from tf_transfer.experiment.methods.base import register
from tf_transfer.experiment.seed_run import SeedRun


@register(
    stages=lambda config: base.tuning(config, "scratch"),
    candidate=True,
    head="fresh",
)
def scratch(run: SeedRun) -> Outcome:
    """Trains on the target alone, from random weights."""
    return run.finetune(run.random_state(), scratch.head)


@register(
    stages=lambda config: (
        base.pretrained(config, "unweighted") | base.tuning(config, "finetune")
    ),
    candidate=True,
    head="fresh",
)
def finetune(run: SeedRun) -> Outcome:
    """Pre-trains on the whole source, then fine-tunes with a fresh head."""
    return run.finetune_unweighted(finetune.head)


@register(
    stages=lambda config: (
        base.pretrained(config, "unweighted")
        | base.tuning(config, "finetune_related")
    ),
    candidate=True,
    head="related",
    family="finetune",
)
def finetune_related(run: SeedRun) -> Outcome:
    """As fine-tuning, with a head mixed from related classes."""
    return run.finetune_unweighted(finetune_related.head)


BY_HEAD = {method.head: method.name for method in (finetune, finetune_related)}
"""The fine-tunings, by head, to which the methods with that head are compared.

Their comparison chooses the head of the other methods.
"""
