"""Calls of one function side by side, each in a process of its own."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
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
    calling process is asked to end, the others are asked to end too.

    Args:
        function: of a module, which the new processes import.
        calls: the arguments of every call.

    Raises:
        InputError: that of a call.
        RuntimeError: for a process that ended without a word.
    """
    spawn = multiprocessing.get_context("spawn")
    errors = spawn.SimpleQueue()
    threads = max(1, (os.cpu_count() or 1) // max(1, len(calls)))
    processes = [
        spawn.Process(
            target=_work, args=(pickle.dumps((function, call)), threads, errors)
        )
        for call in calls
    ]
    try:
        for process in processes:
            process.start()
        running = {process.sentinel: process for process in processes}
        while running:
            for done in multiprocessing.connection.wait(list(running)):
                status = running.pop(done).exitcode
                if not errors.empty():
                    raise errors.get()
                if status:
                    raise RuntimeError(f"A process ended with status {status}")
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


def _work(packed: bytes, threads: int, errors) -> None:
    """What a new process does."""
    with silenced():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        function, call = pickle.loads(packed)
    try:
        function(*call)
    except InputError as error:
        errors.put(error)
    except (Stopped, KeyboardInterrupt):
        raise SystemExit(1) from None
