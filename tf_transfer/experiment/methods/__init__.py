"""The methods and their controls: a family a module, registered on import.

A new method is one module here and one line below.
"""

from tf_transfer.experiment.methods import baselines, datl, l2tl
from tf_transfer.experiment.methods.base import METHODS, Method, register

# isort: split
from tf_transfer.experiment.methods import (
    co_tuning,
    datl_clusters,
    datl_examples,
)  # registered last

__all__ = [
    "METHODS",
    "Method",
    "baselines",
    "co_tuning",
    "datl",
    "datl_clusters",
    "datl_examples",
    "l2tl",
    "register",
]
