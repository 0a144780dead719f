"""Measures, before the training, what decides whether choosing can help."""

import numpy as np

from tf_transfer.data.image_data import ImageData
from tf_transfer.experiment.methods import base, datl_examples
from tf_transfer.experiment.methods.datl import datl
from tf_transfer.experiment.records.forecast import Forecast
from tf_transfer.experiment.records.label_check import LabelCheck
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.models import classifiers
from tf_transfer.models.inference import stream_features

_NEIGHBOURS = 5
_MOST_IMAGES = 2_000


def forecast(run: SeedRun) -> Forecast:
    """Measures the facts with the generalist of a seed, trained or not yet."""
    labelled = run.target.labelled
    images = base.source_images(run.config, datl.name)
    found = run.estimate_importance().diagnostics(
        run.estimate_target_prior().prior, run.source.prior, run.passes
    )
    return Forecast(
        passes=images / len(run.source.labels),
        ess=found.ess,
        repeats=found.repeats if run.passes_drawn else None,
        source_accuracy=run.source_accuracy,
        images_per_parameter=images / run.models.source.model.count_params(),
        labels=len(labelled.labels) / labelled.num_classes,
        neighbours=nearest_neighbours(run, labelled),
        chance=1 / labelled.num_classes,
    )


def label_check(run: SeedRun) -> LabelCheck:
    """Doubts labels of the source by the generalist's features."""
    scores = datl_examples.scores_of(run)
    return LabelCheck.of(scores, run.source.labels, run.parts.places)


def nearest_neighbours(run: SeedRun, images: ImageData) -> float | None:
    """Returns the accuracy of nearest neighbours on labelled images, in 0..1.

    The class of an image is that of most of its five nearest neighbours by the
    cosine of the generalist's features; of fewer where a class has fewer other
    images. None if a class has a single image, or there is one class.
    """
    from sklearn.neighbors import KNeighborsClassifier

    counts = np.bincount(images.labels, minlength=images.num_classes)
    fewest = int(counts.min())
    if images.num_classes < 2 or fewest < 2:
        return None
    # Of two neighbours, none would have the majority.
    neighbours = min(_NEIGHBOURS, fewest - 1) if fewest > 3 else 1
    if len(images.labels) > _MOST_IMAGES:
        order = np.random.default_rng(run.seed).permutation(len(images.labels))
        images = images.take(np.sort(order[:_MOST_IMAGES]))
    with run.models.generalist.loaded(run.train_generalist()) as model:
        encoder = classifiers.encoder_of(model)
        outputs = stream_features(encoder, images.batches())
        features = np.concatenate([rows for rows, _ in outputs])
    found = KNeighborsClassifier(neighbours, metric="cosine")
    # Without arguments, no image is its own neighbour.
    found.fit(features, images.labels)
    votes = images.labels[found.kneighbors(return_distance=False)]
    told = [np.bincount(row).argmax() for row in votes]
    return float(np.mean(told == images.labels))
