"""Several classifiers as one."""

from collections.abc import Sequence

import keras

from tf_transfer.errors import InputError


def mean_probabilities(models: Sequence[keras.Model]) -> keras.Model:
    """Returns a model with the mean of some classifiers' probabilities.

    Args:
        models: from images `[B, H, W, channels]` to logits `[B, C]`. Their
            layers are used, not copied, and the models are renamed.

    Returns:
        A model from images to log probabilities `[B, C]`, which are logits of
        the mean probabilities.

    Raises:
        InputError: if there are no models, or their shapes differ.

    Example:

    >>> pair = [
    ...     keras.Sequential([
    ...         keras.Input((2, 2, 1)), keras.layers.Flatten(),
    ...         keras.layers.Dense(3)])
    ...     for _ in range(2)
    ... ]
    >>> mean_probabilities(pair).output_shape
    (None, 3)
    """
    shapes = {(model.input_shape, model.output_shape) for model in models}
    if len(shapes) != 1:
        raise InputError(
            "The models of an ensemble must have the same shapes of input and "
            f"output. Received: {sorted(map(str, shapes))}"
        )
    images = keras.Input(models[0].input_shape[1:])
    total = []
    for number, model in enumerate(models):
        model.name = f"member_{number}"
        logits = keras.ops.cast(model(images), "float32")
        total.append(keras.ops.log_softmax(logits))
    stacked = keras.ops.stack(total)
    # Of the sum's logarithm, so that no probability underflows.
    return keras.Model(
        images,
        keras.ops.logsumexp(stacked, axis=0)
        - float(keras.ops.log(float(len(models)))),
        name="ensemble",
    )
