"""Calls a function in several processes at the same time."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from tf_transfer.errors import InputError, Stopped, WorkerLostError
from tf_transfer.utils import environment


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discards what native code prints to standard error."""
    original = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)


def side_by_side(function: Callable, calls: Sequence[tuple]) -> None:
    """Calls a function once per tuple of arguments, all at the same time.

    Each call has its own process, and an equal share of the processors. If one
    process fails, or the calling process is terminated or dies, all others are
    terminated.

    Args:
        function: defined at the top level of a module, which the processes
            import.
        calls: the arguments of each call.

    Raises:
        InputError: raised by a call. OSError and the errors of TensorFlow's
            runtime reach the caller likewise.
        WorkerLostError: if a process was killed.
        RuntimeError: if a process ended with another failure.
    """
    spawn = multiprocessing.get_context("spawn")
    errors = spawn.SimpleQueue()
    threads = max(1, environment.processors() // max(1, len(calls)))
    processes = [
        spawn.Process(
            target=_work, args=(pickle.dumps((function, call)), threads, errors)
        )
        for call in calls
    ]
    try:
        with _ignored(signal.SIGINT):
            for process in processes:
                process.start()
        running = {process.sentinel: process for process in processes}
        while running:
            for ended in multiprocessing.connection.wait(list(running)):
                _check(running.pop(ended), errors)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Makes processes that are started within ignore a signal.

    A terminal sends Ctrl-C to all processes. The calling process alone reacts,
    and terminates the others, which save first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def _check(process, errors) -> None:
    """Raises the error of a process that has ended, if there is one."""
    process.join()  # its sentinel is ready before its exit status
    if not errors.empty():
        raise errors.get()
    if process.exitcode == -signal.SIGKILL:
        raise WorkerLostError(
            "A process was killed, as the system does when memory is short. "
            "The same command continues the run; fewer processes need less "
            f"memory (`--jobs`). Received: signal {signal.SIGKILL.value}"
        )
    if process.exitcode:
        raise RuntimeError(f"A process ended with status {process.exitcode}")


def _work(packed: bytes, threads: int, errors) -> None:
    """Carries out one call in a new process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function, call = _unpack(packed, threads)
        function(*call)
    except (Stopped, KeyboardInterrupt):
        raise SystemExit(1) from None
    except Exception as error:
        import tensorflow as tf

        # The calling process explains failures of the disk, too.
        if not isinstance(error, InputError | OSError | tf.errors.OpError):
            raise
        errors.put(error)


def _unpack(packed: bytes, threads: int) -> tuple[Callable, tuple]:
    """Loads TensorFlow, limits its threads, and unpickles the call."""
    with silenced():
        import tensorflow as tf

        # Too late if the script of the caller uses TensorFlow when imported.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        return pickle.loads(packed)


def _end_with_parent() -> None:
    """Terminates this process when the one that started it has ended."""
    parent = multiprocessing.parent_process()
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
