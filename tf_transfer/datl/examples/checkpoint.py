"""The file with which an interrupted scoring continues."""

import os
import pathlib
import time

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils.storage import archives, folders

_EVERY = 30.0  # seconds
_ALIKE = 1e-3  # round-off of another process


class ScoresCheckpoint:
    """Keeps the scores of examples while they are computed.

    Args:
        path: of the file; None keeps nothing.
        coefficients: of the classifier that scores, by which it is known
            that a file is of the same images and settings.
        columns: the scores, each `[N]`, changed in place.
        places: of the examples in the order in which they are scored, `[M]`.
    """

    def __init__(
        self,
        path: str | os.PathLike | None,
        coefficients: np.ndarray,
        columns: list[np.ndarray],
        places: np.ndarray,
    ):
        self._path = None if path is None else pathlib.Path(path)
        self._coefficients = coefficients
        self._columns = columns
        self._places = places
        self._saved = time.monotonic()

    def restore(self) -> int:
        """Reads the scores in the file, if there is one.

        Returns:
            How many examples are scored.

        Raises:
            InputError: if it cannot be read, or is of something else.
        """
        if self._path is None or not os.path.lexists(self._path):
            return 0
        names = [f"column_{i}" for i in range(len(self._columns))]
        try:
            found = archives.read_arrays(self._path, ["coefficients", *names])
        except archives.DAMAGED as error:
            raise InputError(
                f"The scores cannot be read. Received: {self._path}"
            ) from error
        scores = [found[name] for name in names]
        done = len(scores[0]) if scores[0].ndim == 1 else -1
        coefficients = found["coefficients"]
        if (
            not 0 <= done <= len(self._places)
            or coefficients.shape != self._coefficients.shape
            or coefficients.dtype != self._coefficients.dtype
            or not np.allclose(coefficients, self._coefficients, rtol=_ALIKE)
            or any(
                part.shape != (done,) or part.dtype != column.dtype
                for part, column in zip(scores, self._columns, strict=True)
            )
        ):
            raise InputError(
                "The scores in the file are of other images, another encoder "
                "or other settings; remove it to score anew. "
                f"Received: {self._path}"
            )
        for part, column in zip(scores, self._columns, strict=True):
            column[self._places[:done]] = part
        return done

    def save(self, done: int) -> None:
        """Writes the first scores, unless the file is not old."""
        if self._path is None or time.monotonic() - self._saved < _EVERY:
            return
        places = self._places[:done]
        arrays = {
            f"column_{i}": column[places]
            for i, column in enumerate(self._columns)
        }
        with (
            folders.replacing(self._path) as partial,
            open(partial, "wb") as file,
        ):
            np.savez(file, coefficients=self._coefficients, **arrays)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Removes the file, as everything is scored."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
