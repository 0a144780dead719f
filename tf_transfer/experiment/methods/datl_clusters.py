"""DATL with a weight for each cluster of examples, and its control."""

import numpy as np

from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.datl.examples.clusters import Clusters
from tf_transfer.errors import InputError
from tf_transfer.experiment.compiled_models import Outcome
from tf_transfer.experiment.methods.base import register
from tf_transfer.experiment.methods.baselines import finetune_related
from tf_transfer.experiment.methods.datl import datl, own_stages
from tf_transfer.experiment.methods.datl_examples import (
    pretrain_by_example,
    unset_weights,
)
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.models import classifiers


def _check(config: Experiment, target: ImageData | None) -> None:
    """Raises InputError if all clusters would have one weight."""
    if not config.examples.temper:
        raise InputError(
            "`datl_clusters` needs a positive `examples.temper`. "
            f"Received: {config.examples.temper}"
        )


@register(
    stages=own_stages("datl_clusters"),
    check=_check,
    candidate=True,
    controls=(finetune_related.name, datl.name, "datl_clusters_random"),
)
def datl_clusters(run: SeedRun) -> Outcome:
    """Pre-trains on examples weighted by P_t / P_s of their clusters."""
    return _tuned(run, cluster_ratios(run))


@register(stages=own_stages("datl_clusters_random"), family="datl_clusters")
def datl_clusters_random(run: SeedRun) -> Outcome:
    """Control: as many clusters of the same sizes, drawn at random."""
    rng = np.random.default_rng([run.seed, 3])
    return _tuned(run, rng.permutation(cluster_ratios(run)))


def _tuned(run: SeedRun, ratios: np.ndarray) -> Outcome:
    examples = unset_weights(run, run.config.examples)
    examples.update(ratios)
    return run.finetune(pretrain_by_example(run, examples))


def cluster_ratios(run: SeedRun) -> np.ndarray:
    """Returns P_t / P_s of each source example's cluster, once for both.

    The clusters are those of the generalist's features. P_t is the share of
    the target images that lie in a cluster.
    """

    def measure() -> list[np.ndarray]:
        count = min(run.config.data.clusters, len(run.source.labels) // 2)
        with run.models.generalist.loaded(run.train_generalist()) as model:
            found = Clusters(
                run.source, count, classifiers.encoder_of(model), seed=run.seed
            )
            target = found.assigned(run.target.for_prior.batches())
        shares = [
            np.bincount(labels, minlength=count) / len(labels)
            for labels in (target, found.labels)
        ]
        ratios = shares[0] / np.maximum(shares[1], 1 / len(found.labels))
        return [ratios[found.labels].astype(np.float32)]

    (ratios,) = run.cache.share("clusters", measure)
    return ratios
