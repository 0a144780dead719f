"""Measures, before the training, what decides whether choosing can help."""

import numpy as np

from tf_transfer.data.image_data import ImageData
from tf_transfer.experiment.records.forecast import Forecast
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.models import classifiers
from tf_transfer.models.inference import stream_outputs

_NEIGHBOURS = 5
_MOST_IMAGES = 2_000


def forecast(run: SeedRun) -> Forecast:
    """Measures the facts with the generalist of a seed, trained or not yet."""
    config, labelled = run.config, run.target.labelled
    stages = [config.pretraining]
    if not config.generalist_path:
        stages.append(config.generalist)
    images = sum(stage.steps * stage.batch_size for stage in stages)
    found = run.estimate_importance().diagnostics(
        run.estimate_target_prior().prior, run.source.prior, run.passes
    )
    return Forecast(
        passes=images / len(run.source.labels),
        ess=found.ess,
        repeats=found.repeats,
        images_per_parameter=images / run.models.source.model.count_params(),
        labels=len(labelled.labels) / labelled.num_classes,
        neighbours=nearest_neighbours(run, labelled),
        chance=1 / labelled.num_classes,
    )


def nearest_neighbours(run: SeedRun, images: ImageData) -> float | None:
    """Returns how often the neighbours of an image are of its class, in 0..1.

    Each image is told by the `_NEIGHBOURS` others that are nearest by the
    cosine of the generalist's features.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if images.num_classes < 2 or len(images.labels) <= _NEIGHBOURS:
        return None
    if len(images.labels) > _MOST_IMAGES:
        order = np.random.default_rng(run.seed).permutation(len(images.labels))
        images = images.take(np.sort(order[:_MOST_IMAGES]))
    with run.models.generalist.loaded(run.train_generalist()) as model:
        encoder = classifiers.encoder_of(model)
        outputs = stream_outputs(encoder, images.batches())
        features = np.concatenate([rows for rows, _ in outputs])
    found = KNeighborsClassifier(_NEIGHBOURS, metric="cosine")
    # Without arguments, no image is its own neighbour.
    found.fit(features, images.labels)
    votes = images.labels[found.kneighbors(return_distance=False)]
    told = [np.bincount(row).argmax() for row in votes]
    return float(np.mean(told == images.labels))
