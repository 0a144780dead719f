"""What failures of disks, memory and workers mean, in one sentence each."""

import contextlib
import errno
import os
import pathlib
import textwrap
from collections.abc import Iterator

from tf_transfer.errors import InputError, WorkerLostError

_CAUSE_LENGTH = 200
_STORAGE = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG, errno.EACCES)


def _check_input(text: str) -> None:
    """Raises the InputError that a tf.data pipeline has met, if any."""
    _, found, sentence = text.partition(f"{InputError.__name__}: ")
    if found:
        sentence, _, _ = sentence.partition("\nTraceback")
        raise InputError(sentence.strip()) from None


@contextlib.contextmanager
def explained(strategy: str, out: pathlib.Path) -> Iterator[None]:
    """Explains failures of the disk, of the memory and of other workers.

    Args:
        strategy: as in `config.Experiment`.
        out: the folder that is written to.

    Raises:
        InputError: if a file cannot be written, the memory is too small, or
            an image that is decoded as needed cannot be read.
        WorkerLostError: if another worker of a cluster is gone.
    """
    import tensorflow as tf

    try:
        yield
    except (MemoryError, OSError, tf.errors.OpError) as error:
        text = str(error)
        _check_input(text)
        reasons = [os.strerror(n) for n in _STORAGE if os.strerror(n) in text]
        if reasons:
            raise InputError(
                f"A file cannot be written ({reasons[0]}). When it can, the "
                f"same command continues the run. Received: {out}"
            ) from error
        if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
            cause = textwrap.shorten(text, _CAUSE_LENGTH) or "no cause"
            raise InputError(
                "The memory is too small; with a lower `data.image_size`, "
                "smaller batches or a smaller encoder the run needs less. "
                f"Received: {cause}"
            ) from error
        if strategy == "multi_worker" and isinstance(error, tf.errors.OpError):
            # The message is long; its cause names the task.
            cause = error.message.partition("aborted by: ")[2] or error.message
            cause = textwrap.shorten(cause, _CAUSE_LENGTH)
            raise WorkerLostError(
                "Another worker is gone; start all of them again, and they "
                "continue from the last checkpoint. "
                f"Received: {type(error).__name__}: {cause}"
            ) from error
        raise
