"""The batches on which the stages of one seed train and are evaluated.

Training batches are endless, and a function of the step alone, so that an
interrupted stage continues with the batch that would have come next.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from tf_transfer.config import Experiment
from tf_transfer.data import shuffling
from tf_transfer.data.augmentation import augment
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import Part, TargetSplit
from tf_transfer.datl import resampling
from tf_transfer.datl.examples.example_weights import ExampleWeights
from tf_transfer.datl.importance_weights import ImportanceWeights
from tf_transfer.training import distribution

_TARGET = 2**31  # beyond the orders of the source
BatchesFrom = Callable[[int], tf.data.Dataset]
"""From a step to the endless batches that begin there."""
Weights = ImportanceWeights | ExampleWeights
"""Of the source's classes, or of its examples."""


class InputPipelines:
    """Source and target batches, in the orders of a seed.

    A dataset takes as long to make as some training steps, so each is made
    once.

    Args:
        config: the experiment.
        source: the images of the source.
        target: the parts of the target.
        seed: of the orders.
    """

    def __init__(
        self,
        config: Experiment,
        source: ImageData,
        target: TargetSplit,
        seed: int,
    ):
        self._config = config
        self._source = source
        self._target = target
        self._seed = seed
        self._made: dict[tuple, BatchesFrom] = {}

    def target(self, part: Part) -> BatchesFrom:
        """Returns shuffled batches of labelled target images."""
        images = self._target.part(part)

        def batches(start: int) -> tf.data.Dataset:
            indices = shuffling.shuffled(
                len(images.labels),
                batch_size=self._config.finetuning.batch_size,
                seed=self._seed,
                start=start,
            )
            return self._augmented(images.gather(indices), _TARGET, start)

        return self._made.setdefault((part,), functools.cache(batches))

    def source(
        self,
        batch_size: int,
        importance: Weights | None = None,
        order: int = 1,
    ) -> BatchesFrom:
        """Returns source batches, weighted as configured.

        Args:
            batch_size: images per batch.
            importance: the weights; None for the whole source.
            order: which of the seed's two orders: 0 is the generalist's.
        """
        seed = 2 * self._seed + order
        if importance is not None:
            examples = isinstance(importance, ExampleWeights)
            weighted = self._by_example if examples else self._weighted
            return functools.cache(
                functools.partial(weighted, batch_size, seed, importance)
            )
        whole = functools.partial(self._whole, batch_size, seed)
        key = (batch_size, seed)
        return self._made.setdefault(key, functools.cache(whole))

    def _whole(self, batch_size: int, seed: int, start: int) -> tf.data.Dataset:
        indices = self._shuffled(batch_size, seed, start)
        return self._read(indices, seed, start)

    def _shuffled(
        self, batch_size: int, seed: int, start: int = 0
    ) -> tf.data.Dataset:
        """Returns the indices of the whole source, in an order."""
        return shuffling.shuffled(
            len(self._source.labels),
            batch_size=batch_size,
            seed=seed,
            start=start,
        )

    def _weighted(
        self,
        batch_size: int,
        seed: int,
        importance: ImportanceWeights,
        start: int,
    ) -> tf.data.Dataset:
        apply, labels = self._config.datl.apply, self._source.labels
        if apply == "attach":
            return importance.attach(self._whole(batch_size, seed, start))
        if apply == "draw":
            indices = importance.draw(
                labels, batch_size=batch_size, seed=seed, start=start
            )
        else:
            of_index = tf.constant(labels)
            whole = self._shuffled(batch_size, seed)
            indices = importance.resample(
                whole.map(lambda i: (i, tf.gather(of_index, i))),
                seed=seed,
                replacement=apply == "resample",
                start=start,
            ).map(lambda i, label: i)
        return self._read(indices, seed, start)

    def _by_example(
        self,
        batch_size: int,
        seed: int,
        weights: ExampleWeights,
        start: int,
    ) -> tf.data.Dataset:
        """Returns source batches by a weight for each example."""
        apply = self._config.datl.apply
        if apply == "attach":
            indices = self._shuffled(batch_size, seed, start)
            values = indices.map(lambda i: tf.gather(weights.values, i))
            pairs = tf.data.Dataset.zip(
                self._read(indices, seed, start), values
            )
            return pairs.map(lambda batch, value: (*batch, value))
        if apply == "draw":
            indices = weights.draw(
                batch_size=batch_size, seed=seed, start=start
            )
        else:
            whole = self._shuffled(batch_size, seed)
            indices = resampling.resample(
                whole.map(lambda i: (i, i)),
                weights.values,
                seed=seed,
                replacement=apply == "resample",
            ).map(lambda i, label: i)
            indices = indices.skip(start)
        return self._read(indices, seed, start)

    def _read(
        self, indices: tf.data.Dataset, order: int, start: int
    ) -> tf.data.Dataset:
        """Reads source images: of each batch what this worker trains on."""
        scope = distribution.strategy(self._config.strategy)
        size = indices.element_spec.shape[0]
        rows = size and distribution.own_rows(size, scope)
        return self._augmented(self._source.gather(indices, rows), order, start)

    def _augmented(
        self, batches: tf.data.Dataset, order: int, start: int
    ) -> tf.data.Dataset:
        """Augments training batches; other streams get other numbers."""
        kind = self._config.data.augment
        return augment(batches, kind, (self._seed, order), start)
