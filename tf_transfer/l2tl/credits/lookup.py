"""Credits by name."""

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


def get(identifier: str | Credit) -> Credit:
    """Returns a credit by name, or the credit itself.

    Args:
        identifier: `"feature"`, `"gradient"`, `"reinforce"`, or a credit.

    Raises:
        InputError: for an unknown name.
    """
    if isinstance(identifier, Credit):
        return identifier
    if identifier not in CREDITS:
        raise InputError(
            f"`credit` must be one of {', '.join(CREDITS)}. "
            f"Received: credit={identifier!r}"
        )
    return CREDITS[identifier]()
