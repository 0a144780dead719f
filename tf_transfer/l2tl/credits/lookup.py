"""Credits by name."""

import keras

from tf_transfer.errors import InputError
from tf_transfer.l2tl.credits.base import Credit
from tf_transfer.l2tl.credits.feature import FeatureCredit
from tf_transfer.l2tl.credits.gradient import GradientCredit
from tf_transfer.l2tl.credits.reinforce import Reinforce

CREDITS = {
    "feature": FeatureCredit,
    "gradient": GradientCredit,
    "reinforce": Reinforce,
}


def credit(identifier: str | keras.layers.Layer) -> keras.layers.Layer:
    """Returns a credit by name: feature, gradient or reinforce."""
    if isinstance(identifier, Credit):
        return identifier
    if identifier not in CREDITS:
        raise InputError(
            f"`credit` must be one of {', '.join(CREDITS)}. "
            f"Received: credit={identifier!r}"
        )
    return CREDITS[identifier]()
