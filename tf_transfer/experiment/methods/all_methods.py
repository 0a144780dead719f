"""The methods and their controls, composed from a trial's stages."""

from collections.abc import Callable, Iterable

from tf_transfer.config import Experiment
from tf_transfer.datl.diagnostics import effective_classes
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods import joint_training
from tf_transfer.experiment.run_folder import RunFolder
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.statistics import HEADS


def scratch(trial: SeedRun) -> Outcome:
    """Trains on the target alone, from random weights."""
    return trial.finetune(trial.random_state(), HEADS["scratch"])


def finetune(trial: SeedRun) -> Outcome:
    """Pre-trains on the whole source, then fine-tunes with a fresh head."""
    return trial.finetune_unweighted(HEADS["finetune"])


def finetune_related(trial: SeedRun) -> Outcome:
    """Control: as fine-tuning, with a head mixed from related classes."""
    return trial.finetune_unweighted(HEADS["finetune_related"])


def datl(trial: SeedRun) -> Outcome:
    """Pre-trains on the source weighted by P_t / P_s, then fine-tunes."""
    return trial.finetune(trial.pretrain(trial.importance()))


def datl_uniform(trial: SeedRun) -> Outcome:
    """Control: equal weights on the classes that DATL would select.

    As many classes as `top_k`, or as the effective number of classes in P_t.
    """
    prior = trial.target_prior.prior
    selected = trial.config.datl.top_k or round(effective_classes(prior))
    importance = trial.importance(temper=0.0, top_k=max(1, selected))
    return trial.finetune(trial.pretrain(importance))


def datl_reversed(trial: SeedRun) -> Outcome:
    """Control: the largest weight to the least likely class, and so on."""
    return trial.finetune(trial.pretrain(trial.importance(reverse=True)))


def joint(trial: SeedRun) -> Outcome:
    """Control: after the whole source, source and target with equal weights."""
    return joint_training.train_uniform(trial)


def l2tl(trial: SeedRun) -> Outcome:
    """Learns class weights, then trains source and target jointly by them."""
    learned = joint_training.learn_weights(trial)
    return joint_training.train_weighted(trial, *learned)


def l2tl_frozen(trial: SeedRun) -> Outcome:
    """Control: joint training by the weights where the policy started."""
    start = joint_training.learn_weights(trial, frozen=True)
    return joint_training.train_weighted(trial, *start)


METHODS: dict[str, Callable[[SeedRun], Outcome]] = {
    method.__name__: method
    for method in (
        scratch,
        finetune,
        finetune_related,
        datl,
        datl_uniform,
        datl_reversed,
        joint,
        l2tl,
        l2tl_frozen,
    )
}


def unfinished(config: Experiment, folder: RunFolder, seed: int) -> set[str]:
    """Returns the methods that a seed has no result of."""
    return {m for m in config.methods if folder.result(m, seed) is None}


def steps_left(
    config: Experiment, folder: RunFolder, seeds: Iterable[int]
) -> int:
    """Returns the optimizer steps of what is not finished."""
    tuning = config.finetuning
    tuned = (len(tuning.learning_rates) + 1) * tuning.steps
    heads = (len(tuning.learning_rates) + 1) * tuning.head_steps
    left = 0
    for seed in seeds:
        waiting = unfinished(config, folder, seed)
        kept = folder.model_path("generalist", seed).exists()
        if waiting - {"scratch"} and not (kept or config.generalist_path):
            left += config.generalist.steps
        joint = {"joint", "l2tl", "l2tl_frozen"}
        left += len(waiting) * tuned + len(waiting - joint) * heads
        relabel = config.l2tl.relabel and waiting & {"l2tl", "l2tl_frozen"}
        if relabel and "finetune_related" not in waiting:
            left += tuned + heads
        left += config.l2tl.steps * ("l2tl" in waiting)
        # Fine-tuning and joint training share the unweighted pre-training.
        shared = bool(waiting & (joint | {"finetune", "finetune_related"}))
        weighted = len([name for name in waiting if name.startswith("datl")])
        left += config.pretraining.steps * (shared + weighted)
    return left
