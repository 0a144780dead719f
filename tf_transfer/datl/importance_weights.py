"""One importance weight per source class, and the datasets they apply to.

`ImportanceWeights` holds the weights in a variable and applies them to a
source in one of three ways: as sample weights (`attach`), by resampling a
stream (`resample`), or by drawing indices (`draw`).
"""

import numpy as np
import tensorflow as tf

from tf_transfer.datl import diagnostics, resampling, shaping
from tf_transfer.errors import InputError
from tf_transfer.utils import checks, tf_data, weighting


class ImportanceWeights(tf.Module):
    """One importance weight per source class, ready for `fit`.

    The weight of a class is P_t / P_s (Ngiam et al. 2018, section 3).

    The weights are in a variable. When a callback changes it, the datasets
    that `attach`, `resample` and `draw` returned use the new weights, after
    the batches that are already prefetched. Do not `cache()` such a dataset:
    that would freeze the weights. To save and restore the object, track it in
    a `tf.train.Checkpoint`.

    Args:
        num_source_classes: the number of source classes C.
        temper: exponent of the ratio; 0 gives equal weights, infinity the
            largest weight to as many of the best classes as can have it.
        clip: the largest ratio, before the weights are scaled to mean 1.
        floor: the smallest ratio, before the weights are scaled to mean 1.
        top_k: how many classes, those with the largest ratios, keep their
            weights (a specialist); the others get 0.
        most: the largest weight, after they are scaled to mean 1; what is cut
            off goes to the other classes. Where a training draws D times from
            N images, `R * N / D` lets it draw each at most R times on average.
            Below 1 it stands for 1.
        reverse: give the largest weight to the class with the smallest ratio,
            and so on: the reversed control.

    Attributes:
        values: the weights, `[C]` float32, mean 1 under the source prior; all
            1 until they are set.
        updates: how often the weights were set, int64.
        target_prior: P_t of the last update, `[C]` float32; 0 before the
            first.

    Raises:
        InputError: if an argument is out of range.

    Example:

    >>> importance = ImportanceWeights(3)
    >>> importance.update([.5, .25, .25], source_prior=[.25, .25, .5])
    >>> importance.numpy().tolist()
    [2.0, 1.0, 0.5]
    """

    def __init__(
        self,
        num_source_classes: int,
        *,
        temper: float = 1.0,
        clip: float | None = None,
        floor: float = 0.0,
        top_k: int | None = None,
        most: float | None = None,
        reverse: bool = False,
    ):
        super().__init__(name="importance_weights")
        self.num_source_classes = checks.check_class_count(
            num_source_classes, "num_source_classes"
        )
        shaping.check_shaping(temper, clip, floor, top_k, most)
        self.shaping = {
            "temper": temper,
            "clip": clip,
            "floor": floor,
            "top_k": top_k,
            "most": most,
            "reverse": reverse,
        }
        self.reaches_data = False
        with tf.device("CPU"):  # where tf.data can read them
            self.values = tf.Variable(
                tf.ones([num_source_classes]), trainable=False, name="values"
            )
            self.updates = tf.Variable(
                0, trainable=False, dtype=tf.int64, name="updates"
            )
            self.target_prior = tf.Variable(
                tf.zeros([num_source_classes]),
                trainable=False,
                name="target_prior",
            )

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {
            "num_source_classes": self.num_source_classes,
            **self.shaping,
        }

    @classmethod
    def from_config(cls, config: dict) -> "ImportanceWeights":
        return cls(**config)

    def numpy(self) -> np.ndarray:
        """Returns the weights, `[C]` float32."""
        return self.values.numpy()

    def update(
        self,
        target_prior: np.ndarray,
        source_prior: np.ndarray,
        *,
        strength: float = 1.0,
    ):
        """Sets the weights to `P_t / P_s`, shaped.

        Args:
            target_prior: P_t, `[C]`.
            source_prior: P_s, `[C]`.
            strength: from 0, for equal weights, to 1; see `shaping.softened`.
        """
        values = shaping.importance_weights(
            target_prior,
            source_prior,
            **shaping.softened(self.shaping, strength),
        )
        self.assign(values, source_prior)
        self.target_prior.assign(target_prior)

    def assign(self, values: np.ndarray, source_prior: np.ndarray):
        """Sets the weights to `values` `[C]`, scaled to mean 1 under P_s.

        Raises:
            InputError: if there are not C values, a value is negative or not
                finite, or the values of all classes with examples are 0.
        """
        prior = checks.check_prior(source_prior, self.num_source_classes)
        self.values.assign(weighting.normalise(values, prior))
        self.target_prior.assign(self.values * prior.astype(np.float32))
        self.updates.assign_add(1)

    def attach(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the weights as sample weights: `(x, y)` to `(x, y, weight)`.

        The weights have mean 1, so Keras' default reduction keeps the scale of
        the loss. It works on single examples and on batches, in O(1) time per
        example and O(classes) memory.

        Raises:
            InputError: unless the dataset yields `(x, class number)`.
        """
        tf_data.check_labelled(dataset, form="(x, class number)", pairs=True)
        self.reaches_data = True
        return dataset.map(
            lambda x, y: (x, y, weighting.weight_of(self.values, y)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def resample(
        self,
        dataset: tf.data.Dataset,
        *,
        seed: int,
        replacement: bool = True,
        rate: float = 1.0,
        block_size: int = 1024,
        start: int = 0,
    ) -> tf.data.Dataset:
        """Repeats and drops examples by weight; see `resampling.resample`.

        The dataset is repeated without end, with new choices in each pass, so
        give `fit` its `steps_per_epoch`. To continue a run, `start` skips that
        many elements of the result, which is cheap before images are decoded.

        Raises:
            InputError: unless the dataset yields `(x, class number)`.
        """
        tf_data.check_labelled(dataset, form="(x, class number)", pairs=True)
        self.reaches_data = True
        return resampling.resample(
            dataset.repeat(),
            self.values,
            seed=seed,
            replacement=replacement,
            rate=rate,
            block_size=block_size,
        ).skip(start)

    def draw(
        self, labels: np.ndarray, *, batch_size: int, seed: int, start: int = 0
    ) -> tf.data.Dataset:
        """Draws weighted source indices; see `resampling.index_draw`."""
        self.reaches_data = True
        return resampling.index_draw(
            labels, self.values, batch_size=batch_size, seed=seed, start=start
        )

    def as_class_weight(self) -> dict[int, float]:
        """Returns a copy of the weights for Keras' `fit(class_weight=...)`.

        A copy does not follow later changes, so the weights must be set first.

        Raises:
            InputError: if they are not.
        """
        if not self.updates.numpy():
            raise InputError(
                "The importance weights are not set yet; call `update` first, "
                "with the prior of `estimate_target_prior` (the callback "
                "`DATL` sets them when `fit` begins, which is too late here). "
                "Received: no estimate"
            )
        return dict(enumerate(self.numpy().tolist()))

    def diagnostics(
        self,
        target_prior: np.ndarray,
        source_prior: np.ndarray,
        passes: float | None = None,
    ) -> diagnostics.Diagnostics:
        """Returns the weights' diagnostics.

        Args:
            target_prior: P_t, `[C]`.
            source_prior: P_s, `[C]`.
            passes: how often a training draws as many images as the source
                has, if that is known.
        """
        return diagnostics.diagnose(
            self.numpy().astype(np.float64),
            np.asarray(target_prior),
            np.asarray(source_prior),
            clip=self.shaping["clip"],
            temper=self.shaping["temper"],
            passes=passes,
        )
