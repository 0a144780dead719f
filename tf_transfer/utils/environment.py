"""Versions of the packages that matter."""

import importlib.metadata
import platform


def package_versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that matter."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return found | {"python": platform.python_version()}


_PACKAGES = ("tensorflow", "keras", "numpy", "tf_transfer")
