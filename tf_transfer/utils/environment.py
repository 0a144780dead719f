"""Versions of Python and of the packages that results depend on."""

import importlib.metadata
import platform

_PACKAGES = ("tensorflow", "keras", "numpy", "tf_transfer")


def package_versions() -> dict[str, str]:
    """Returns the versions of Python and of `_PACKAGES`, by name."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return versions | {"python": platform.python_version()}
