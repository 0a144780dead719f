"""DATL: domain adaptive transfer learning (Ngiam et al. 2018).

`ImportanceWeights` holds one weight per source class and applies them to a
dataset; the `DATL` callback estimates them. Both compose with `model.fit`:

    weights = ImportanceWeights(num_source_classes)
    model.fit(
        weights.attach(source),
        callbacks=[DATL(weights, target_images, source_prior, generalist)],
    )
"""

import warnings

import keras
import numpy as np
import tensorflow as tf

from tf_transfer import diagnostics, sampling, weights
from tf_transfer.errors import InputError
from tf_transfer.estimation import TargetPrior, estimate_target_prior
from tf_transfer.weights import check_prior


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
        weights.check_shaping(temper, clip, floor, top_k)
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
        shaped = weights.importance_weights(
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
        self.values.assign(weights.normalise(values, prior))
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
            lambda x, y: (x, y, sampling.weight_of(self.values, y)),
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
        return sampling.resample(
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
        return sampling.index_draw(
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
        sampling.check_labelled(dataset)
        if len(dataset.element_spec) != 2:
            raise InputError(
                "The source dataset must yield (x, y), without sample "
                f"weights of its own. Received: {dataset.element_spec}"
            )


class DATL(keras.callbacks.Callback):
    """Estimates importance weights for the source model being trained.

    With a `generalist` the weights are estimated once, before training (Ngiam
    et al. 2018, section 3). Without one, training starts with the weights as
    they are, and the model in training estimates them again after every
    `every` epochs; weights restored from a checkpoint go on from there.

    Each epoch's logs gain `datl_ess`, `datl_largest_weight` and
    `datl_entropy` (of the target prior in use, in nats). An estimate with a
    low effective sample size gives a warning with advice.

    Args:
        weights: the `ImportanceWeights` that the dataset of this `fit` uses.
        target_images: array `[N, H, W, channels]` or batches; no labels.
        source_prior: P_s, `[C]`.
        generalist: a trained source classifier, or None.
        every: epochs between estimates from the model in training; by
            default 1 without a generalist, and never with one.
        **estimation: `estimator`, `temperature`, `from_logits`, `held_out`,
            `calibrate` of `estimate_target_prior`.

    Raises:
        InputError: in `fit`, if the weights would not reach the loss because
            no dataset was made with them.

    Example:

    >>> images = np.random.default_rng(0).random((8, 4, 4, 1), "float32")
    >>> model = keras.Sequential(
    ...     [keras.Input((4, 4, 1)), keras.layers.Flatten(),
    ...      keras.layers.Dense(2)])
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile("sgd", loss)
    >>> importance = ImportanceWeights(2)
    >>> source = tf.data.Dataset.from_tensor_slices(
    ...     (images, np.arange(8) % 2)).batch(4)
    >>> history = model.fit(
    ...     importance.attach(source), verbose=0, shuffle=False,
    ...     callbacks=[DATL(importance, images, [.5, .5])])
    >>> sorted(history.history)
    ['datl_entropy', 'datl_ess', 'datl_largest_weight', 'loss']
    """

    def __init__(
        self,
        weights: ImportanceWeights,
        target_images: np.ndarray | tf.data.Dataset,
        source_prior: np.ndarray,
        generalist: keras.Model | None = None,
        *,
        every: int | None = None,
        **estimation,
    ):
        super().__init__()
        if every is not None and every < 1:
            raise InputError(f"`every` must be at least 1. Received: {every=}")
        self.weights = weights
        self.target_images = target_images
        self.source_prior = check_prior(
            source_prior, weights.num_source_classes
        )
        self.generalist = generalist
        self.every = every or (1 if generalist is None else 0)
        self.estimation = estimation
        self.estimate: TargetPrior | None = None

    def on_train_begin(self, logs=None):
        if not self.weights.reaches_data:
            raise InputError(
                "The importance weights reach no loss; fit on the dataset of "
                "weights.attach, weights.resample or weights.draw. Received: "
                "weights that no dataset uses"
            )
        if self.generalist is not None and self.estimate is None:
            self._estimate(self.generalist)

    def on_epoch_end(self, epoch, logs=None):
        if self.every and (epoch + 1) % self.every == 0:
            self._estimate(self.model)
        if logs is not None:
            found = self._diagnostics()
            logs["datl_ess"] = found.ess
            logs["datl_largest_weight"] = found.largest
            logs["datl_entropy"] = found.entropy

    def _estimate(self, model: keras.Model) -> None:
        self.estimate = estimate_target_prior(
            model,
            self.target_images,
            self.source_prior,
            bootstrap=0,
            **self.estimation,
        )
        self.weights.update(self.estimate.prior, self.source_prior)
        advice = self._diagnostics().advice
        if advice:
            warnings.warn(advice, stacklevel=2)

    def _diagnostics(self) -> diagnostics.Diagnostics:
        prior = self.weights.target_prior.numpy().astype(np.float64)
        if not self.weights.updates.numpy():
            prior = self.source_prior
        return self.weights.diagnostics(prior, self.source_prior)
