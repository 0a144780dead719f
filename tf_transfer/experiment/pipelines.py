"""The endless batches on which the stages of one seed train.

Each is a function from a step to a dataset, from which a run goes on.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from tf_transfer.config import Experiment
from tf_transfer.data import shuffling
from tf_transfer.data.image_data import ImageData
from tf_transfer.datl.importance_weights import ImportanceWeights


class InputPipelines:
    """Source and target batches, in the orders of a seed.

    Args:
        config: the experiment.
        images: of the source.
        seed: of the orders.
    """

    def __init__(self, config: Experiment, images: ImageData, seed: int):
        self.config = config
        self.images = images
        self.seed = seed
        self._kept: dict[object, Callable] = {}

    def target(self, images: ImageData) -> Callable[[int], tf.data.Dataset]:
        """Gives shuffled batches of labelled target images."""

        def batches(start: int) -> tf.data.Dataset:
            indices = shuffling.shuffled(
                len(images.labels),
                batch_size=self.config.finetuning.batch_size,
                seed=self.seed,
                start=start,
            )
            return images.gather(indices)

        return self._keep(id(images), batches)

    def whole_source(self, batch_size: int) -> Callable[[int], tf.data.Dataset]:
        """Gives unweighted source batches."""
        return self._keep(("source", batch_size), self.source(batch_size))

    def _keep(self, name: object, batches: Callable) -> Callable:
        """Keeps what was made: that takes as long as some training steps."""
        return self._kept.setdefault(name, functools.cache(batches))

    def source(
        self,
        batch_size: int,
        importance: ImportanceWeights | None = None,
        order: int = 1,
    ) -> Callable[[int], tf.data.Dataset]:
        """Gives source batches, weighted as configured.

        Args:
            batch_size: images per batch.
            importance: the weights; None for the whole source.
            order: which of the seed's two orders: 0 is the generalist's.
        """
        seed = 2 * self.seed + order
        apply = "whole" if importance is None else self.config.datl.apply
        labels = self.images.labels

        def batches(start: int) -> tf.data.Dataset:
            batch = {"batch_size": batch_size, "seed": seed}
            if apply == "draw":
                indices = importance.draw(labels, start=start, **batch)
            elif apply in ("resample", "elastic"):
                known = tf.constant(labels)
                whole = shuffling.shuffled(len(labels), **batch)
                indices = importance.resample(
                    whole.map(lambda i: (i, tf.gather(known, i))),
                    seed=seed,
                    replacement=apply == "resample",
                    start=start,
                ).map(lambda i, label: i)
            else:
                indices = shuffling.shuffled(len(labels), start=start, **batch)
            images = self.images.gather(indices)
            return importance.attach(images) if apply == "attach" else images

        return batches
