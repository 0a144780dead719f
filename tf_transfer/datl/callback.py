"""DATL: domain adaptive transfer learning (Ngiam et al. 2018), as a callback.

`ImportanceWeights` holds one weight per source class and applies the weights
to a dataset. The `DATL` callback estimates them. Both compose with
`model.fit`:

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

from tf_transfer.datl import diagnostics
from tf_transfer.datl.estimation import TargetPrior, estimate_target_prior
from tf_transfer.datl.importance_weights import ImportanceWeights
from tf_transfer.errors import InputError
from tf_transfer.utils import checks


class DATL(keras.callbacks.Callback):
    """Estimates importance weights for the source model being trained.

    With a `generalist`, the weights are estimated once, before training
    (Ngiam et al. 2018, section 3). Without one, training starts with the
    current weights, which may come from a checkpoint, and the model in
    training estimates them again after every `every` epochs.

    Each epoch's logs contain `datl_ess`, `datl_largest_weight` and
    `datl_entropy` (of the current target prior, in nats). If the effective
    sample size of an estimate is low, the callback warns and says what to do.

    Args:
        weights: the `ImportanceWeights` that the dataset of this `fit` uses.
        target_images: an array `[N, H, W, channels]` or batches; no labels.
        source_prior: P_s, `[C]`.
        generalist: a trained source classifier, or None.
        every: epochs between estimates by the model in training; by default 1
            without a generalist, and never with one.
        growing: over how many epochs the weights grow from nearly equal to
            their full size: in epoch e, of these E, the exponent is e / E of
            its value (see `shaping.softened`). What is learned last counts
            most (2406.03476). 0 for full weights from the start.
        passes: how often the training draws as many images as the source has,
            if that is known; then the warning counts the repeats.
        **estimation: `estimator`, `temperature`, `from_logits`, `held_out` or
            `calibrate` for `estimate_target_prior`.

    Raises:
        InputError: if `every`, `growing` or `source_prior` is invalid; in
            `fit`, if no dataset was made with the weights, so they cannot reach
            the loss, or if the model is not one of Keras 3.

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
        growing: int = 0,
        passes: float | None = None,
        **estimation,
    ):
        super().__init__()
        if every is not None and every < 1:
            raise InputError(f"`every` must be at least 1. Received: {every=}")
        if growing < 0:
            raise InputError(
                f"`growing` must not be negative. Received: {growing=}"
            )
        self.weights = weights
        self.target_images = target_images
        self.source_prior = checks.check_prior(
            source_prior, weights.num_source_classes
        )
        self.generalist = generalist
        self.every = every or (1 if generalist is None else 0)
        self.growing = growing
        self.passes = passes
        self.estimation = estimation
        self.estimate: TargetPrior | None = None

    def set_model(self, model):
        """Sets the model that is trained; raises InputError for tf_keras."""
        if not isinstance(model, keras.Model):
            raise InputError(
                "`DATL` is a callback of Keras 3, for `fit` of its models. "
                f"Received: a model of {type(model).__module__}"
            )
        super().set_model(model)

    def on_train_begin(self, logs=None):
        if not self.weights.reaches_data:
            raise InputError(
                "The importance weights do not reach the loss; fit on a "
                "dataset from weights.attach, weights.resample or "
                "weights.draw. Received: weights that no dataset uses"
            )
        if self.generalist is not None and self.estimate is None:
            self._estimate(self.generalist, 0)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch < self.growing and self.weights.updates.numpy():
            self._update(self.weights.target_prior.numpy(), epoch)

    def _update(self, target_prior: np.ndarray, epoch: int) -> None:
        """Sets the weights for an epoch."""
        strength = 1.0
        if self.growing:
            strength = min(1.0, (epoch + 1) / self.growing)
        self.weights.update(target_prior, self.source_prior, strength=strength)

    def on_epoch_end(self, epoch, logs=None):
        if self.every and (epoch + 1) % self.every == 0:
            self._estimate(self.model, epoch + 1)
        if logs is not None:
            summary = self._diagnostics()
            logs["datl_ess"] = summary.ess
            logs["datl_largest_weight"] = summary.largest
            logs["datl_entropy"] = summary.entropy

    def _estimate(self, model: keras.Model, epoch: int) -> None:
        """Estimates the weights for an epoch."""
        self.estimate = estimate_target_prior(
            model,
            self.target_images,
            self.source_prior,
            bootstrap=0,
            **self.estimation,
        )
        self._update(self.estimate.prior, epoch)
        advice = self._diagnostics().advice
        if advice:
            warnings.warn(advice, stacklevel=2)

    def _diagnostics(self) -> diagnostics.Diagnostics:
        prior = self.weights.target_prior.numpy().astype(np.float64)
        if not self.weights.updates.numpy():
            prior = self.source_prior
        return self.weights.diagnostics(prior, self.source_prior, self.passes)
