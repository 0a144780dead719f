"""Importance weights of the source classes, applied to a dataset."""

import numpy as np
import tensorflow as tf

from tf_transfer.datl import diagnostics, resampling, shaping
from tf_transfer.errors import InputError
from tf_transfer.utils import checks, weighting
from tf_transfer.utils.checks import check_prior


class ImportanceWeights(tf.Module):
    """One importance weight per source class, ready for `fit`.

    The weight of a class is P_t / P_s (Ngiam et al. 2018, section 3).

    The weights live in a variable, so that a dataset made by `attach` or
    `resample` follows when a callback changes them (after the batches that
    are already prefetched; a later `cache()` would freeze them). Track the
    object in a `tf.train.Checkpoint` to save and restore it.

    Args:
        num_source_classes: the number of source classes C.
        temper: exponent of the ratio; 0 gives equal weights.
        clip: the largest ratio, before the weights are brought to mean 1.
        floor: the smallest ratio, likewise.
        top_k: keep only the classes with the largest ratio (a specialist).
        reverse: the reversed control: the largest weight to the class with
            the smallest ratio, and so on.

    Attributes:
        values: the weights, `[C]` float32, mean 1 under the source prior; all
            1 until they are set.
        updates: how often they were set, int64.
        target_prior: P_t that they were last set by, `[C]` float32; 0 before.

    Raises:
        InputError: for arguments out of range.

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
        reverse: bool = False,
    ):
        super().__init__(name="importance_weights")
        if num_source_classes < 1:
            raise InputError(
                "`num_source_classes` must be at least 1. "
                f"Received: {num_source_classes=}"
            )
        shaping.check_shaping(temper, clip, floor, top_k)
        self.num_source_classes = int(num_source_classes)
        self.shaping = {
            "temper": temper,
            "clip": clip,
            "floor": floor,
            "top_k": top_k,
            "reverse": reverse,
        }
        self.reaches_data = False
        with tf.device("CPU"):  # where tf.data can read it
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

    def update(self, target_prior: np.ndarray, source_prior: np.ndarray):
        """Sets the weights to `P_t / P_s`, shaped; both priors are `[C]`."""
        shaped = shaping.importance_weights(
            target_prior, source_prior, **self.shaping
        )
        self.assign(shaped, source_prior)
        self.target_prior.assign(target_prior)

    def assign(self, values: np.ndarray, source_prior: np.ndarray):
        """Sets the weights to `values` `[C]`, scaled to mean 1 under P_s.

        Raises:
            InputError: for weights of another length, negative, not finite,
                or all zero.
        """
        prior = check_prior(source_prior, self.num_source_classes)
        self.values.assign(weighting.normalise(values, prior))
        self.target_prior.assign(self.values * prior.astype(np.float32))
        self.updates.assign_add(1)

    def attach(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the weights as sample weights: `(x, y)` to `(x, y, weight)`.

        Weights of mean 1 with Keras' default loss reduction keep the scale
        of the loss. Works on single examples and on batches; O(1) time an
        example and O(classes) memory.
        """
        self._check_pairs(dataset)
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
        """Repeats and drops examples by weight; see `sampling.resample`.

        A finite dataset is passed over again and again, with new choices each
        time: give `fit` its `steps_per_epoch`. To continue a run, `start`
        passes over the elements it has seen; cheap before images are decoded.
        """
        self._check_pairs(dataset)
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
        """Draws weighted source indices; see `sampling.index_draw`."""
        self.reaches_data = True
        return resampling.index_draw(
            labels, self.values, batch_size=batch_size, seed=seed, start=start
        )

    def as_class_weight(self) -> dict[int, float]:
        """Returns the weights for Keras' own `fit(class_weight=...)`.

        A copy: it does not follow later changes, so the weights must be set.
        """
        if not self.updates.numpy():
            raise InputError(
                "The importance weights are not set yet; call `update` first, "
                "with what `estimate_target_prior` returns (the callback "
                "`DATL` does so as `fit` begins, too late for this). "
                "Received: no estimate"
            )
        return dict(enumerate(self.numpy().tolist()))

    def diagnostics(
        self, target_prior: np.ndarray, source_prior: np.ndarray
    ) -> diagnostics.Diagnostics:
        """Describes the weights; both priors are `[C]`."""
        return diagnostics.diagnose(
            self.numpy().astype(np.float64),
            np.asarray(target_prior),
            np.asarray(source_prior),
            clip=self.shaping["clip"],
            temper=self.shaping["temper"],
        )

    def _check_pairs(self, dataset: tf.data.Dataset) -> None:
        checks.check_labelled(dataset)
        if len(dataset.element_spec) != 2:
            raise InputError(
                "The source dataset must yield (x, y), without sample "
                f"weights of its own. Received: {dataset.element_spec}"
            )
