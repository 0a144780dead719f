"""Pure losses and objectives of L2TL (Zhu et al. 2020, section 3).

Shapes use B for examples, D for features, C for source classes and K for the
levels of a categorical distribution.
"""

import tensorflow as tf

_TINY = 1e-12


def weighted_mean(
    values: tf.Tensor, weights: tf.Tensor, total: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns `sum(weights * values) / sum(weights)`, 0 if all weights are 0.

    Args:
        values: `[B]`.
        weights: not negative, `[B]`.
        total: divide by this sum instead, e.g. that over all replicas.

    Example:

    >>> float(weighted_mean(tf.constant([1., 5.]), tf.constant([3., 1.])))
    2.0
    """
    total = tf.reduce_sum(weights) if total is None else total
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), total)


def policy_gradient_loss(
    log_probs: tf.Tensor, advantage: tf.Tensor
) -> tf.Tensor:
    """Returns `-advantage * sum(log_probs)`, whose gradient is REINFORCE's.

    Args:
        log_probs: log-probabilities of the actions taken, any shape.
        advantage: how much better than expected they did, scalar. No
            gradient flows through it.
    """
    return -tf.stop_gradient(advantage) * tf.reduce_sum(log_probs)


def log_odds(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns `log(p / (1 - p))` of the right class, `[B]`.

    Its gradient has the same size for an image that is known and for one
    that is not, where that of the cross-entropy vanishes with what is known
    (the model output that Park et al. 2023, TRAK, section 3.1, attribute).

    Args:
        labels: class numbers, `[B]` integers.
        logits: `[B, C]`.

    Example:

    >>> odds = log_odds(tf.constant([0]), tf.math.log([[.75, .25]]))
    >>> round(float(tf.exp(odds[0])), 3)
    3.0
    """
    right = tf.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    chosen = tf.reduce_sum(right * logits, axis=-1)
    others = tf.reduce_logsumexp(logits - right * logits.dtype.max / 2, axis=-1)
    return chosen - others


def related_loss(shares: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy to soft labels, by how much these tell, `[B]`.

    The factor is one less their entropy in units of the largest possible:
    soft labels that say nothing would only make predictions less certain.

    Args:
        shares: soft labels, `[B, K]`, rows of sum 1.
        logits: `[B, K]`.

    Example:

    >>> shares = tf.constant([[1., 0.], [.5, .5]])
    >>> [round(float(x), 3) for x in related_loss(shares, tf.zeros([2, 2]))]
    [0.693, 0.0]
    """
    entropy = -tf.reduce_sum(tf.math.xlogy(shares, shares), axis=-1)
    largest = tf.math.log(tf.cast(max(2, shares.shape[-1]), shares.dtype))
    loss = tf.nn.softmax_cross_entropy_with_logits(shares, logits)
    return (1 - entropy / largest) * loss


def feature_effects(
    source: tuple[tf.Tensor, tf.Tensor],
    validation: tuple[tf.Tensor, tf.Tensor],
    sharpness: float = 10.0,
) -> tf.Tensor:
    """Returns how much a step on a source example helps a validation image.

    The first-order effect of a step in function space on the encoder's
    output. A source example `i` moves the features of images like it against
    its loss gradient `g_i`; `k(z_i, z_j)` tells how much it moves validation
    image `j`, and the angle between both gradients whether that helps `j`:

        effect_ij = k(z_i, z_j) <g_i, g_j> / (|g_i| |g_j|)
        k(z, z') = exp(sharpness * (cos(z, z') - 1))

    Gradients count by their direction (what is known already would not count
    otherwise), and without their part along the features, which makes
    predictions more confident, not better.

    Args:
        source: features `[B, D]` and the loss gradients by them, `[B, D]`.
        validation: likewise for the validation images, `[V, D]`.
        sharpness: how alike two images must be; 0 ignores likeness.

    Returns:
        `[B, V]`, in -1..1; positive where the loss of `j` falls.
    """
    (z_s, g_s), (z_v, g_v) = source, validation
    z_s, z_v = _unit(z_s), _unit(z_v)
    g_s, g_v = _unit(_across(g_s, z_s)), _unit(_across(g_v, z_v))
    likeness = tf.exp(sharpness * (tf.matmul(z_s, z_v, transpose_b=True) - 1))
    return likeness * tf.matmul(g_s, g_v, transpose_b=True)


def _unit(rows: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(rows, axis=1, epsilon=_TINY)


def _across(gradients: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
    """Removes the part of each row along a unit direction."""
    along = tf.reduce_sum(gradients * directions, axis=1, keepdims=True)
    return gradients - along * directions
