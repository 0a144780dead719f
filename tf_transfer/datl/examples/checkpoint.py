"""The file with which an interrupted scoring continues."""

import hashlib
import os
import pathlib
import time

import numpy as np

from tf_transfer.errors import InputError
from tf_transfer.utils.storage import archives, folders

_EVERY = 30.0  # seconds
_ALIKE = 1e-2  # round-off of another process, as a share of the whole


class StaleScoresError(InputError):
    """The file holds no scores, or those of something else."""


class ScoresCheckpoint:
    """Keeps the scores of examples while they are computed.

    Args:
        path: of the file; None keeps nothing.
        coefficients: of the classifier that scores, by which it is known
            that a file is of the same images and settings.
        columns: the scores, each `[N]`, changed in place.
        places: of the examples in the order in which they are scored, `[M]`.
        key: whatever else must be the same; its `repr` is compared.
    """

    def __init__(
        self,
        path: str | os.PathLike | None,
        coefficients: np.ndarray,
        columns: list[np.ndarray],
        places: np.ndarray,
        key: object = (),
    ):
        self._path = None if path is None else pathlib.Path(path)
        if self._path is not None and not self._path.parent.is_dir():
            raise InputError(
                "The folder of the checkpoint must exist. "
                f"Received: {self._path}"
            )
        self._coefficients = coefficients
        self._columns = columns
        self._places = places
        digest = hashlib.sha256(repr(key).encode() + places.tobytes())
        self._digest = np.frombuffer(digest.digest(), np.uint8)
        self._saved = time.monotonic()

    def restore(self) -> int:
        """Reads the scores in the file, if there is one.

        Returns:
            How many examples are scored.

        Raises:
            StaleScoresError: if it cannot be read, or is of something else.
        """
        if self._path is None or not os.path.lexists(self._path):
            return 0
        names = [f"column_{i}" for i in range(len(self._columns))]
        try:
            found = archives.read_arrays(
                self._path, ["digest", "coefficients", *names]
            )
        except (*archives.DAMAGED, InputError) as error:
            raise StaleScoresError(
                "The scores cannot be read; remove the file to score anew. "
                f"Received: {self._path}"
            ) from error
        scores = [found[name] for name in names]
        done = len(scores[0]) if scores[0].ndim == 1 else -1
        if not (
            0 <= done <= len(self._places)
            and np.array_equal(found["digest"], self._digest)
            and self._alike(found["coefficients"])
            and all(
                part.shape == (done,)
                and part.dtype == column.dtype
                and ((part >= 0) & (part < np.inf)).all()
                for part, column in zip(scores, self._columns, strict=True)
            )
        ):
            raise StaleScoresError(
                "The scores in the file are of other images, another encoder "
                "or other settings; remove it to score anew. "
                f"Received: {self._path}"
            )
        for part, column in zip(scores, self._columns, strict=True):
            column[self._places[:done]] = part
        return done

    def _alike(self, coefficients: np.ndarray) -> bool:
        """Whether a classifier is this one, but for round-off."""
        own = self._coefficients
        if coefficients.shape != own.shape or coefficients.dtype != own.dtype:
            return False
        apart = np.linalg.norm(coefficients - own)
        return bool(apart <= _ALIKE * np.linalg.norm(own))

    def save(self, done: int, at_once: bool = False) -> None:
        """Writes the first scores, unless the file is not old.

        Args:
            done: how many examples are scored.
            at_once: whether to write in any case.
        """
        new = not at_once and time.monotonic() - self._saved < _EVERY
        if self._path is None or new:
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
            np.savez(
                file,
                digest=self._digest,
                coefficients=self._coefficients,
                **arrays,
            )
        self._saved = time.monotonic()
