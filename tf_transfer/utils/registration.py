"""Lets Keras load saved models after `import tf_transfer` alone.

Keras finds a saved class by its registered name, and a class is registered
when its module is imported. This package imports its modules on first use, so
a stand-in is registered for each class until then.
"""

import importlib
from types import ModuleType

HOMES = {
    "Averages": "l2tl.averages",
    "FeatureCredit": "l2tl.credits.feature",
    "FixedPolicy": "l2tl.policy",
    "GradientCredit": "l2tl.credits.gradient",
    "L2TL": "l2tl.model",
    "MeanPerClassAccuracy": "l2tl.rewards",
    "Reinforce": "l2tl.credits.reinforce",
    "SparseAUC": "l2tl.rewards",
    "StandardizedConv2D": "models.small_encoders",
    "WeightPolicy": "l2tl.policy",
    "_Distributed": "training.distribution",
}
"""The module of every class that this package registers with Keras."""


class StandIn:
    """Base of the stand-ins, which build the real class of the same name.

    They import it on first use, which registers it in their place.

    Attributes:
        home: the module of the real class, without the package's name.
    """

    home: str

    def __new__(cls, *args, **kwargs):
        return cls._real()(*args, **kwargs)

    @classmethod
    def from_config(cls, *args, **kwargs):
        """Returns an instance of the real class."""
        return cls._real().from_config(*args, **kwargs)

    @classmethod
    def _real(cls) -> type:
        module = importlib.import_module(f"tf_transfer.{cls.home}")
        return getattr(module, cls.__name__)


def register(keras: ModuleType) -> None:
    """Registers a stand-in for every class that is not registered yet.

    It imports none of this package's modules, because one of them may be
    importing Keras at this moment and still be incomplete.

    Args:
        keras: the imported Keras.
    """
    registered = keras.saving.get_custom_objects()
    for name, home in HOMES.items():
        stand_in = type(name, (StandIn,), {"home": home})
        registered.setdefault(f"tf_transfer>{name}", stand_in)
