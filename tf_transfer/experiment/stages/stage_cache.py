"""The stages of training that the methods of a seed share, and their costs."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tf_transfer.experiment.records.run_folder import RunFolder

History = dict[str, dict[str, list]]
"""Logs of each epoch, by stage and name."""


@dataclasses.dataclass(frozen=True)
class _Shared:
    """A stage that methods share: its model, its logs and what it cost."""

    state: list[np.ndarray]
    history: History
    failed: dict[str, list[float]]
    seconds: float


class StageCache:
    """Caches stages that methods share, and adds their cost to each once.

    Args:
        folder: of the run, with the checkpoints of the stages.
        seed: whose stages these are.

    Attributes:
        history: logs of every stage of the present method.
        failed: learning rates at which a stage of it had learned nothing.
    """

    def __init__(self, folder: RunFolder, seed: int):
        self._folder = folder
        self._seed = seed
        self._shared: dict[str, _Shared] = {}
        self._folders: Iterator[pathlib.Path | None] = itertools.repeat(None)
        self.begin_method()

    def begin_method(self) -> None:
        """Starts the history and the costs of another method."""
        self.history: History = {}
        self.failed: dict[str, list[float]] = {}
        self._charged: set[str] = set()
        # Spent by an interrupted process, or while another method ran.
        self._seconds_before = 0.0
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Returns what the present method has cost so far."""
        return time.monotonic() - self._started + self._seconds_before

    @contextlib.contextmanager
    def folders_of(self, name: str) -> Iterator[None]:
        """Numbers the checkpoint folders of the stages trained within."""
        outer = self._folders
        of_number = functools.partial(self._folder.stage_path, name, self._seed)
        self._folders = map(of_number, itertools.count())
        try:
            yield
        finally:
            self._folders = outer

    def next_folder(self) -> pathlib.Path | None:
        """Returns the checkpoint folder of the next stage; None for none."""
        return next(self._folders)

    def add(
        self,
        stage: str,
        logs: dict[str, list],
        seconds: float,
        failed: Sequence[float] = (),
    ) -> None:
        """Adds a finished stage to the history.

        Args:
            stage: its name.
            logs: of its epochs.
            seconds: that an interrupted process has spent on it.
            failed: learning rates at which it had learned nothing.
        """
        self.history[stage] = logs
        self._seconds_before += seconds
        if failed:
            self.failed[stage] = list(failed)

    @contextlib.contextmanager
    def separate_history(self) -> Iterator[History]:
        """Leaves the logs of stages trained within out of the history."""
        outer, self.history = self.history, {}
        try:
            yield self.history
        finally:
            self.history = outer

    def share(
        self, name: str, train: Callable[[], list[np.ndarray]]
    ) -> list[np.ndarray]:
        """Returns what `train` returns; only the first call with a name trains.

        Each method that asks is charged with the seconds, once.
        """
        if name not in self._shared:
            before = self.seconds()
            with self.folders_of(name), self.separate_history() as history:
                state = train()
            seconds = self.seconds() - before
            failed = {k: v for k, v in self.failed.items() if k in history}
            self._shared[name] = _Shared(state, history, failed, seconds)
        elif name not in self._charged:
            self._seconds_before += self._shared[name].seconds
        self._charged.add(name)
        shared = self._shared[name]
        self.history |= shared.history
        self.failed |= shared.failed
        return shared.state
