"""DATL with a weight for each example, and its control."""

import functools
import pathlib

import numpy as np

from tf_transfer.config import Examples
from tf_transfer.datl.examples.checkpoint import StaleScoresError
from tf_transfer.datl.examples.example_weights import ExampleWeights
from tf_transfer.datl.examples.scoring import ExampleScores, score_examples
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods.base import register
from tf_transfer.experiment.methods.baselines import finetune_related
from tf_transfer.experiment.methods.datl import datl, own_stages
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.stages.trainers import State
from tf_transfer.models import classifiers

STRICTNESS = 2
"""Exponent of beliefs: a wrong label costs more than a missing image."""
_SCORES = "scores"


@register(
    stages=own_stages("datl_examples"),
    candidate=True,
    controls=(finetune_related.name, datl.name, "datl_examples_shuffled"),
)
def datl_examples(run: SeedRun) -> Outcome:
    """Pre-trains on examples weighted inside their classes, too."""
    scores = scores_of(run)
    return tuned(run, scores.ratios, scores.beliefs)


@register(stages=own_stages("datl_examples_shuffled"), family="datl_examples")
def datl_examples_shuffled(run: SeedRun) -> Outcome:
    """Control: each example has the scores of another one of its class."""
    scores, labels = scores_of(run), run.source.labels
    chance = np.random.default_rng([run.seed, 2]).random(len(labels))
    order = np.empty(len(labels), int)
    order[np.argsort(labels, kind="stable")] = np.lexsort((chance, labels))
    beliefs = scores.beliefs
    return tuned(
        run, scores.ratios[order], None if beliefs is None else beliefs[order]
    )


def scores_of(run: SeedRun) -> ExampleScores:
    """Scores the source by the generalist's features, once."""
    settings = run.config.examples

    def score() -> list[np.ndarray]:
        checkpoint = _checkpoint(run)
        with run.models.generalist.loaded(run.train_generalist()) as model:
            scored = functools.partial(
                score_examples,
                classifiers.encoder_of(model),
                run.source,
                run.target.for_prior,
                beliefs=settings.beliefs,
                sample=settings.sample,
                seed=run.seed,
                checkpoint=checkpoint,
            )
            try:
                found = scored()
            except StaleScoresError:
                checkpoint.unlink()
                found = scored()
        if settings.beliefs:
            return [found.ratios, found.beliefs, found.likely_labels]
        return [found.ratios]

    return ExampleScores(*run.cache.share(_SCORES, score))


def _checkpoint(run: SeedRun) -> pathlib.Path | None:
    """Returns the file with which an interrupted scoring continues."""
    if run.folder.files is None or not run.folder.writes:
        return None
    folder = run.folder.stage_path(_SCORES, run.seed, 0)
    run.folder.files.make(str(folder.relative_to(run.folder.files.path)))
    return folder / "scores.npz"


def tuned(
    run: SeedRun,
    ratios: np.ndarray,
    beliefs: np.ndarray | None,
    settings: Examples | None = None,
) -> Outcome:
    """Pre-trains by scores and DATL's class weights, then fine-tunes.

    Args:
        run: the seed's run.
        ratios: of the densities at the source examples, `[N]`.
        beliefs: that their labels are right, `[N]`; None for all.
        settings: of the weights; by default those of the run.
    """
    examples = unset_weights(run, settings or run.config.examples)
    examples.update(
        ratios,
        beliefs=None if beliefs is None else beliefs**STRICTNESS,
        labels=run.source.labels,
        class_weights=run.estimate_importance().numpy(),
    )
    return run.finetune(pretrain_by_example(run, examples))


def unset_weights(run: SeedRun, settings: Examples) -> ExampleWeights:
    """Returns weights of the source examples, shaped as configured."""
    return ExampleWeights(
        len(run.source.labels),
        temper=settings.temper,
        floor=settings.floor,
        clip=settings.clip or None,
    )


def pretrain_by_example(run: SeedRun, examples: ExampleWeights) -> State:
    """Trains on weighted source examples; the result keeps classes' means."""
    state = run.pretrain(examples, estimate=False)
    count, labels = run.source.num_classes, run.source.labels
    totals = np.bincount(labels, examples.numpy(), minlength=count)
    sizes = np.maximum(np.bincount(labels, minlength=count), 1)
    run.learned = {"weights": (totals / sizes).tolist()}
    return state
