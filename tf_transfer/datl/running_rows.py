"""A mean of many rows, and a sample of them, in bounded memory."""

import numpy as np

_MOST_ROWS = 10_000
_MOST_BYTES = 2**28


class RunningRows:
    """A running mean of rows, and a uniform sample of them.

    Args:
        width: length of a row.
        sample: False for the mean alone.
        seed: of the sample.

    Attributes:
        total: the sum of all rows, `[width]`.
        count: how many there were.

    Example:

    >>> rows = RunningRows(width=2)
    >>> rows.add(np.array([[1.0, 2.0], [3.0, 6.0]], np.float32))
    >>> rows.mean.tolist(), rows.sample.shape
    ([2.0, 4.0], (2, 2))
    """

    def __init__(self, width: int, sample: bool = True, seed: int = 0):
        fits = _MOST_BYTES // (4 * width)
        self.capacity = max(100, min(_MOST_ROWS, fits)) if sample else 0
        self._buffer = np.empty((self.capacity, width), np.float32)
        self.total = np.zeros(width)
        self.count = 0
        self._rng = np.random.default_rng(seed)

    def add(self, rows: np.ndarray) -> None:
        """Adds rows `[B, width]` (Vitter's algorithm R)."""
        early = rows[: self.capacity - len(self.sample)]
        self._buffer[self.count :][: len(early)] = early
        late = rows[len(early) :]
        before = self.count + len(early)
        places = self._rng.integers(0, before + 1 + np.arange(len(late)))
        chosen = places < self.capacity
        self._buffer[places[chosen]] = late[chosen]
        self.total += rows.sum(axis=0, dtype=np.float64)
        self.count += len(rows)

    @property
    def sample(self) -> np.ndarray:
        """A uniform sample of the rows, at most 10,000, `[n, width]`."""
        return self._buffer[: self.count]

    @property
    def mean(self) -> np.ndarray:
        """The mean of all rows, `[width]`."""
        return self.total / self.count
