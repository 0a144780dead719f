"""The machine, and the versions of the packages that results depend on."""

import concurrent.futures
import contextlib
import importlib.metadata
import os
import pathlib
import platform
import resource
from collections.abc import Callable, Iterator

import threadpoolctl

_PACKAGES = ("tensorflow", "keras", "numpy", "tf_transfer")
_CONTAINER = pathlib.Path("/sys/fs/cgroup/memory.max")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keeps products of NumPy and scikit-learn on one thread.

    On a machine with other work, threads that wait for each other take many
    times as long. It serves in a `with` statement, and as a decorator.
    """
    with threadpoolctl.threadpool_limits(1):
        yield


@one_thread()
def in_threads(function: Callable, *items) -> list:
    """Returns what a function makes of each item, on all processors.

    It is for work that NumPy and SciPy do, one product after another: each
    stays on one thread, so the results do not depend on the processors.

    Args:
        function: of an item of each sequence.
        *items: sequences of the same length.
    """
    with concurrent.futures.ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(function, *items))


def package_versions() -> dict[str, str]:
    """Returns the versions of Python and of `_PACKAGES`, by name."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return versions | {"python": platform.python_version()}


def processors() -> int:
    """Returns the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Returns the bytes of memory that this process may use.

    That is the machine's memory, or what a container or `ulimit` allows.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    with contextlib.suppress(OSError, ValueError):  # `max` is no number
        limits.append(int(_CONTAINER.read_text()))
    return min(limits)
