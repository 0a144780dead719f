"""What the stages of a seed have cost and logged, method by method."""

import contextlib
import itertools
import pathlib
import time
from collections.abc import Callable, Iterator

import numpy as np

from tf_transfer.experiment.run_folder import RunFolder


class StageCache:
    """Keeps what methods share, and charges each of them for it, once.

    Args:
        folder: of the run, with the checkpoints of the stages.
        seed: whose stages these are.

    Attributes:
        history: logs of every stage of the present method.
    """

    def __init__(self, folder: RunFolder, seed: int):
        self._folder = folder
        self._seed = seed
        self._shared: dict[str, tuple[list[np.ndarray], dict, float]] = {}
        self._stages = itertools.repeat(None)
        self.begin()

    def begin(self) -> None:
        """Opens the account of another method."""
        self.history: dict[str, dict[str, list]] = {}
        self._charged: set[str] = set()
        # Spent in an earlier call, or by another method, for this one, too.
        self._borrowed = 0.0
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Returns what the present method has cost so far."""
        return time.monotonic() - self._started + self._borrowed

    @contextlib.contextmanager
    def keeping(self, name: str) -> Iterator[None]:
        """Names the folders of the stages that are trained within."""
        kept, folder = self._stages, self._folder.stages(name, self._seed)
        self._stages = (folder / str(i) for i in itertools.count())
        try:
            yield
        finally:
            self._stages = kept

    def next_folder(self) -> pathlib.Path | None:
        """Returns where the next stage keeps its checkpoints, if anywhere."""
        return next(self._stages)

    def add(self, stage: str, logs: dict[str, list], before: float) -> None:
        """Enters a trained stage.

        Args:
            stage: its name.
            logs: of its epochs.
            before: seconds that an interrupted call has spent on it.
        """
        self.history[stage] = logs
        self._borrowed += before

    @contextlib.contextmanager
    def apart(self) -> Iterator[dict[str, dict[str, list]]]:
        """Keeps the logs of what is trained within out of the history."""
        kept, self.history = self.history, {}
        try:
            yield self.history
        finally:
            self.history = kept

    def share(
        self, name: str, train: Callable[[], list[np.ndarray]]
    ) -> list[np.ndarray]:
        """Trains once for all methods; each bears the seconds, once."""
        if name not in self._shared:
            before = self.seconds()
            with self.keeping(name), self.apart() as history:
                state = train()
            spent = self.seconds() - before
            self._shared[name] = state, history, spent
        elif name not in self._charged:
            self._borrowed += self._shared[name][2]
        self._charged.add(name)
        self.history |= self._shared[name][1]
        return self._shared[name][0]
