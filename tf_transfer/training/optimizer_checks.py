"""What optimizers are made of, and what they cannot do on replicas."""

import keras

from tf_transfer.errors import InputError

_PER_REPLICA = (
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "gradient_accumulation_steps",
)


def parts(
    optimizer: keras.optimizers.Optimizer,
) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizers that hold the settings of an optimizer.

    These are those inside a `LossScaleOptimizer` or a `MultiOptimizer`, or
    else the optimizer itself.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return list(getattr(inner, "optimizers", [inner]))


def check_on_replicas(optimizer: keras.optimizers.Optimizer) -> None:
    """Checks that an optimizer does on several devices what it does on one.

    Keras clips the gradients of each replica before it adds them up, and
    fails to accumulate them.

    Raises:
        InputError: for the settings of clipping and accumulation.
    """
    for part in parts(optimizer):
        for name in _PER_REPLICA:
            value = getattr(part, name, None)
            if value:
                raise InputError(
                    f"`{name}` acts on the gradients of each device before "
                    "they are added up: leave it out on several devices. "
                    f"Received: {name}={value} of {part.name!r}"
                )
