"""Pure losses and objectives of L2TL (Zhu et al. 2020, section 3).

Shapes use B for examples, D for features, C for source classes and K for the
levels of a categorical distribution.
"""

import tensorflow as tf

_EPSILON = 1e-12


def weighted_mean(
    values: tf.Tensor, weights: tf.Tensor, total: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns `sum(weights * values) / sum(weights)`, 0 if all weights are 0.

    Args:
        values: `[B]`.
        weights: not negative, `[B]`.
        total: divide by this number instead of the sum of the weights, e.g.
            by the sum over all replicas.

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
        advantage: their reward less the expected one, scalar. No gradient
            flows through it.
    """
    return -tf.stop_gradient(advantage) * tf.reduce_sum(log_probs)


def log_odds(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns `log(p / (1 - p))` of the right class, `[B]`.

    The gradient of the cross-entropy vanishes for images that are already
    classified well; the gradient of the log odds does not. TRAK uses the same
    model output (Park et al. 2023, section 3.1).

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
    """Returns the cross-entropy to soft labels, weighted by certainty, `[B]`.

    The certainty of soft labels is one less their entropy, divided by the
    largest possible entropy. Without this factor, uninformative soft labels
    would make predictions less certain and teach nothing.

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

    This is the first-order effect of a step in function space on the
    encoder's output. A source example `i` moves the features of similar
    images against its loss gradient `g_i`. The similarity `k(z_i, z_j)` is
    how far it moves validation image `j`. The angle between the gradients of
    both decides whether that helps `j`:

        effect_ij = k(z_i, z_j) <g_i, g_j> / (|g_i| |g_j|)
        k(z, z') = exp(sharpness * (cos(z, z') - 1))

    Only the direction of a gradient counts; by their size, images that are
    already classified well would not count. The part of a gradient along the
    features is removed, because it makes predictions more confident, not
    better.

    Args:
        source: features `[B, D]` and the loss gradients by them, `[B, D]`.
        validation: the same for the validation images, `[V, D]`.
        sharpness: how similar two images must be; 0 ignores similarity.

    Returns:
        `[B, V]`, in -1..1; positive where the loss of `j` falls.
    """
    (z_s, g_s), (z_v, g_v) = source, validation
    z_s, z_v = _unit(z_s), _unit(z_v)
    g_s, g_v = _unit(_across(g_s, z_s)), _unit(_across(g_v, z_v))
    similarity = tf.exp(sharpness * (tf.matmul(z_s, z_v, transpose_b=True) - 1))
    return similarity * tf.matmul(g_s, g_v, transpose_b=True)


def _unit(rows: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(rows, axis=1, epsilon=_EPSILON)


def _across(gradients: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
    """Removes the part of each row along a unit direction."""
    along = tf.reduce_sum(gradients * directions, axis=1, keepdims=True)
    return gradients - along * directions
