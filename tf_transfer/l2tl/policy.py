"""The policy of L2TL: which source classes to learn from, and how much.

Zhu et al. 2020, section 3.2: every source class has a categorical distribution
over K levels of its weight, and so has the scale of the whole source loss.
`FixedPolicy` has the same interface and learns nothing. With equal weights it
is uniform joint training; with learned weights, the refit on all labels.
"""

import warnings
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.errors import InputError
from tf_transfer.l2tl.types import Actions
from tf_transfer.utils import checks, randomness, weighting

with warnings.catch_warnings():
    # TFP's import warns about the standard library's distutils.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tensorflow_probability import distributions as tfd

_MIN_MEAN = 0.02


@keras.saving.register_keras_serializable("tf_transfer")
class FixedPolicy(keras.layers.Layer):
    """Gives every source class the same weight in every step.

    Args:
        num_source_classes: the number of source classes C.
        weights: `[C]`, not negative; all 1 by default.
        scale: weight of the source loss; that of the target loss is 1.

    Raises:
        InputError: if the weights or the scale are invalid.

    Example:

    >>> FixedPolicy(3, [2.0, 1.0, 0.0]).expected_weights().numpy().tolist()
    [2.0, 1.0, 0.0]
    """

    def __init__(
        self,
        num_source_classes: int,
        weights: Sequence[float] | None = None,
        scale: float = 1.0,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.num_source_classes = checks.check_class_count(
            num_source_classes, "num_source_classes"
        )
        shape = (num_source_classes,)
        self.weights_of_classes = self.add_weight(
            shape, "ones", name="weights", trainable=False
        )
        self.scale = self.add_weight((), "ones", name="scale", trainable=False)
        self.assign(np.ones(shape) if weights is None else weights, scale)
        self.built = True

    def assign(self, weights: Sequence[float], scale: float = 1.0) -> None:
        """Sets the weights of the classes, `[C]`, and of the source loss."""
        weights = checks.check_weights(weights, self.num_source_classes)
        if not 0 <= scale < np.inf:
            raise InputError(
                f"`scale` must not be negative. Received: scale={scale}"
            )
        self.weights_of_classes.assign(weights)
        self.scale.assign(scale)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_source_classes": self.num_source_classes,
            "weights": np.array(self.weights_of_classes).tolist(),
            "scale": float(self.scale),
        }

    def draw(
        self, step: tf.Tensor, classes: tf.Tensor | None = None
    ) -> Actions:
        """Returns the same actions for every step; see `WeightPolicy`."""
        del step
        weights = self.weights_of_classes.value
        if classes is not None:
            weights = weighting.weight_of(weights, classes)
        return Actions(weights, self.scale.value)

    def expected_weights(self) -> tf.Tensor:
        """Returns the weights, `[C]`."""
        return tf.convert_to_tensor(self.weights_of_classes)

    def expected_scale(self) -> tf.Tensor:
        """Returns the weight of the source loss."""
        return tf.convert_to_tensor(self.scale)


@keras.saving.register_keras_serializable("tf_transfer")
class WeightPolicy(keras.layers.Layer):
    """Draws a weight level for every source class, and learns from it.

    The policy of Zhu et al. 2020, section 3.2.

    The levels are `k / (K - 1)`, k = 0..K-1, both for the weights of the
    classes and for the scale of the source loss. Actions depend only on
    `seed` and step. So replicas draw the same actions, and so does a run that
    is resumed. Memory is O(classes * levels), and so is the time of all but
    `draw` for the classes of a batch.

    Args:
        num_source_classes: the number of source classes C.
        levels: the number of levels K, at least 2.
        entropy: coefficient of the bonus for staying near the policy at the
            start. The bonus is the negative relative entropy to it; for a
            flat start, this is the usual entropy bonus. The policy that
            maximises credit and bonus is the start's probabilities times
            `exp(credit * level / entropy)`, normalised.
        start: importance weights `[C]` (e.g. DATL's). At the start the
            expected weights are proportional to them, but none is below .02
            of the largest, from where it could hardly rise. Flat by default.
        seed: seed of the actions.

    Attributes:
        logits: logits of the levels, `[1 + C, K]`: row 0 for the scale, then
            one row per class.
        start_logits: the log-probabilities at the start, likewise.

    Raises:
        InputError: if `levels`, `entropy` or `start` is invalid.

    Example:

    >>> policy = WeightPolicy(3, levels=5, start=[2., 1., 0.])
    >>> [round(float(w), 2) for w in policy.expected_weights()]
    [0.98, 0.5, 0.02]
    """

    def __init__(
        self,
        num_source_classes: int,
        levels: int = 11,
        *,
        entropy: float = 0.1,
        start: Sequence[float] | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.num_source_classes = checks.check_class_count(
            num_source_classes, "num_source_classes"
        )
        if not isinstance(levels, int) or levels < 2:
            raise InputError(
                f"`levels` must be at least 2. Received: levels={levels!r}"
            )
        if not 0 <= entropy < np.inf:
            raise InputError(
                f"`entropy` must not be negative. Received: entropy={entropy}"
            )
        self.levels = np.linspace(0, 1, levels, dtype=np.float32)
        self.entropy = float(entropy)
        shape = (1 + num_source_classes, levels)
        self.logits = self.add_weight(
            shape,
            "zeros",
            name="logits",
            aggregation="only_first_replica",
        )
        self.start_logits = self.add_weight(
            shape, "zeros", name="start_logits", trainable=False
        )
        self.seed = self.add_weight(
            (), "zeros", dtype="int64", name="seed", trainable=False
        )
        self.restart(start, seed)
        self.built = True

    def restart(
        self, start: Sequence[float] | None = None, seed: int = 0
    ) -> None:
        """Resets the policy; for the arguments, see the class."""
        self.start = start
        logits = np.zeros(self.logits.shape, np.float32)
        if start is not None:
            weights = checks.check_weights(start, self.num_source_classes)
            self.start = weights.tolist()
            largest = max(weights.max(), 1e-12)
            logits[1:] = _logits_with_means(weights / largest, self.levels)
        self.logits.assign(logits)
        self.start_logits.assign(tf.nn.log_softmax(logits))
        self.seed.assign(seed)

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_source_classes": self.num_source_classes,
            "levels": len(self.levels),
            "entropy": self.entropy,
            "start": self.start,
            "seed": int(self.seed),
        }

    def distribution(self) -> tfd.Categorical:
        """Returns the distribution of the levels, with the rows of `logits`."""
        return tfd.Categorical(logits=self.logits.value)

    def draw(
        self, step: tf.Tensor, classes: tf.Tensor | None = None
    ) -> Actions:
        """Draws the actions of a step.

        This inverts the cumulative distribution, with one uniform number per
        action. TFP's own sampler would draw one per action and level.

        Args:
            step: number of the step.
            classes: class numbers, `[B]`, of which the actions are needed;
                all by default. Each class has the same action either way, in
                O(B * levels) time.
        """
        rows = tf.range(1 + self.num_source_classes)
        logits = self.logits.value
        if classes is not None:
            rows = weighting.weight_of(rows[1:], classes)
            rows = tf.concat([[0], rows], axis=0)
            logits = tf.gather(logits, rows)
        chosen = _invert(
            tfd.Categorical(logits=logits),
            randomness.uniform(self.seed.value, step, rows),
        )
        values = tf.gather(tf.constant(self.levels), chosen)
        return Actions(values[1:], values[0], chosen)

    def log_probs(self, levels: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """Returns the log-probabilities of the actions that had an effect.

        Args:
            levels: those of all classes, `[1 + C]`, from `draw`.
            present: whether a class was in the batch, `[C]` bool. The action
                of an absent class had no effect, so its gradient would be
                noise.

        Returns:
            `[1 + C]`: of the scale, then of the classes; 0 for absent classes.
        """
        log_probs = self.distribution().log_prob(levels)
        return tf.where(tf.concat([[True], present], axis=0), log_probs, 0.0)

    def expected_credit(
        self, credit: tf.Tensor, scale_credit: tf.Tensor
    ) -> tf.Tensor:
        """Returns the expected credit of the policy.

        Its gradient is the mean, over all actions, of the gradient of
        REINFORCE with one advantage per class. It has no sampling noise.

        Args:
            credit: credit of a larger weight of each class, `[C]`.
            scale_credit: credit of a larger weight of the source loss.
        """
        credit = tf.concat([[scale_credit], credit], axis=0)
        return tf.reduce_sum(tf.stop_gradient(credit) * self._means())

    def bonus(self) -> tf.Tensor:
        """Returns the entropy bonus: 0 at the start, negative elsewhere."""
        own = tf.nn.log_softmax(self.logits.value)
        minus_divergence = tf.exp(own) * (self.start_logits.value - own)
        return self.entropy * tf.reduce_sum(minus_divergence)

    def mean_entropy(self) -> tf.Tensor:
        """Returns the mean entropy of the classes' distributions, in nats."""
        return tf.reduce_mean(self.distribution().entropy()[1:])

    def expected_weights(self) -> tf.Tensor:
        """Returns the expected weight of every class, `[C]` in 0..1."""
        return self._means()[1:]

    def expected_scale(self) -> tf.Tensor:
        """Returns the expected weight of the source loss, in 0..1."""
        return self._means()[0]

    def _means(self) -> tf.Tensor:
        probs = self.distribution().probs_parameter()
        return tf.linalg.matvec(probs, tf.constant(self.levels))


def _invert(distribution: tfd.Categorical, uniform: tf.Tensor) -> tf.Tensor:
    """Returns the level at which the cumulative probability passes a number."""
    cumulative = tf.cumsum(distribution.probs_parameter(), axis=-1)
    # Without the last level, round-off cannot lead beyond it.
    below = cumulative[..., :-1] <= uniform[..., None]
    return tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)


def _logits_with_means(means: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Returns logits `[C, K]` of the largest entropy with the means `[C]`.

    Such logits are linear in the level. Bisection finds their slope.
    """
    means = np.clip(means, _MIN_MEAN, 1 - _MIN_MEAN)
    low, high = np.full((2, len(means)), 1e3) * np.array([[-1], [1]])
    for _ in range(60):
        slope = (low + high) / 2
        logits = slope[:, None] * levels
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        mean = (odds @ levels) / odds.sum(axis=1)
        low = np.where(mean < means, slope, low)
        high = np.where(mean < means, high, slope)
    return (slope[:, None] * (levels - 0.5)).astype(np.float32)
