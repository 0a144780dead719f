"""Calls of one function side by side, each in a process of its own."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from tf_transfer.errors import InputError, Stopped


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discards what native code prints to standard error while loading."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def side_by_side(function: Callable, calls: Sequence[tuple]) -> None:
    """Calls a function with each of several arguments, all at the same time.

    The processors are shared out among the processes. When one fails, or the
    calling process is asked to end or is gone, the others are asked to end.

    Args:
        function: of a module, which the new processes import.
        calls: the arguments of every call.

    Raises:
        InputError: that of a call; likewise what the machine refused it.
        RuntimeError: for a process that ended without a word.
    """
    spawn = multiprocessing.get_context("spawn")
    errors = spawn.SimpleQueue()
    threads = max(1, _processors() // max(1, len(calls)))
    processes = [
        spawn.Process(
            target=_work, args=(pickle.dumps((function, call)), threads, errors)
        )
        for call in calls
    ]
    try:
        with _unheard(signal.SIGINT):
            for process in processes:
                process.start()
        running = {process.sentinel: process for process in processes}
        while running:
            for done in multiprocessing.connection.wait(list(running)):
                _check(running.pop(done), errors)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


@contextlib.contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """Lets the processes started within ignore a signal.

    Ctrl-C is sent to all: this process hears it, and asks the others to end,
    which they do after saving.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def _processors() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check(process, errors) -> None:
    """Raises what there is to say of a process that has ended."""
    process.join()  # it says that it ends a moment before it has a status
    if not errors.empty():
        raise errors.get()
    if process.exitcode:
        raise RuntimeError(f"A process ended with status {process.exitcode}")


def _work(packed: bytes, threads: int, errors) -> None:
    """What a new process does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function, call = _unpack(packed, threads)
        function(*call)
    except (Stopped, KeyboardInterrupt):
        raise SystemExit(1) from None
    except Exception as error:
        import tensorflow as tf

        # A failing disk, too, is told by the calling process.
        if not isinstance(error, InputError | OSError | tf.errors.OpError):
            raise
        errors.put(error)


def _unpack(packed: bytes, threads: int) -> tuple[Callable, tuple]:
    """Loads TensorFlow, with its share of the processors, and the call."""
    with silenced():
        import tensorflow as tf

        # It is in use already where a script does so outside its main part.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        return pickle.loads(packed)


def _end_with_parent() -> None:
    """Asks this process to end when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
