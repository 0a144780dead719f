"""The order in which the methods and seeds of an experiment are trained."""

import dataclasses
import itertools
import os
import platform
import time
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.experiment import statistics
from tf_transfer.experiment.compiled_models import CompiledModels
from tf_transfer.experiment.methods.all_methods import METHODS, steps_left
from tf_transfer.experiment.results import Result
from tf_transfer.experiment.run_folder import RunFolder
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.statistics import HEADS
from tf_transfer.training.tensorboard import Records
from tf_transfer.utils import environment
from tf_transfer.utils.progress import Progress

_FINE_TUNINGS = ("finetune", "finetune_related")
_PAUSE = 0.5


class Runner:
    """Trains what is left of some seeds, in one process.

    With `finetuning.head="chosen"`, `scratch`, `finetune` and
    `finetune_related` are trained for all seeds first, and the other methods
    then start from one of the heads: see `config.FineTuning`.

    Args:
        config: the experiment.
        folder: of the run, in which other processes may train other seeds.
        source: all labelled source images.
        target: the target.
        splits: the target's parts of every seed to train.
        quiet: print no progress.
    """

    def __init__(
        self,
        config: Experiment,
        folder: RunFolder,
        source: ImageData,
        target: ImageData,
        splits: dict[int, TargetSplit],
        quiet: bool = False,
    ):
        self.config = config
        self.folder = folder
        self.source = source
        self.splits = splits
        self.bench = CompiledModels.of(config, source, target)
        self.records = Records(folder.path if folder.writes else None)
        self.progress = Progress(
            steps_left(config, folder, splits), quiet or not folder.writes
        )

    def run(self) -> Iterator[SeedRun]:
        """Yields the trial of every seed when all its methods are finished."""
        methods, head = self.config.methods, self.config.finetuning.head
        if head == "chosen":
            head = "related"
            if set(methods) - set(HEADS) and set(_FINE_TUNINGS) <= set(methods):
                head = self._chosen_head()
        for seed in self.splits:
            trial = self._trial(seed, head)
            self._train(trial, methods)
            self.folder.forget_stages(seed)
            yield trial
            del trial  # with its states, before the next one is trained
        self.progress.close()

    def _trial(self, seed: int, head: str = "related") -> SeedRun:
        return SeedRun(
            self.bench,
            self.source,
            self.splits[seed],
            seed,
            self.folder,
            self.progress.advance,
            head,
            self.records,
        )

    def _train(self, trial: SeedRun, wanted: Collection[str]) -> None:
        """Trains those of the methods that have no result yet."""
        config, seed = self.config, trial.seed
        for method in config.methods:
            if method in wanted and self.folder.result(method, seed) is None:
                self.progress.says(f"seed {seed + 1}/{config.seeds}, {method}")
                result = trial.measure(method, METHODS[method])
                head = HEADS.get(method, trial.head)
                result = dataclasses.replace(
                    result, head=head, **self._origin(result)
                )
                self.records.result(
                    result.to_json(), dataclasses.asdict(config)
                )
                self.folder.add(result)
                self.folder.forget_stages(seed, method)

    def _chosen_head(self) -> str:
        """Returns the head to start from, by all seeds' validation images.

        The related one, unless a fresh one is told to be better: a few
        validation images tell little, and a head that knows nothing yet costs
        most where labels are few.

        Trains what that takes; what others train is waited for.
        """
        if self._waiting():  # on a finished run there is nothing to set up
            for seed in self.splits:
                self._train(self._trial(seed), HEADS)
        if self._waiting():
            self.progress.says("waiting for the other processes")
        while self._waiting():
            time.sleep(_PAUSE)
            self.folder.refresh()
        results = self.folder.results
        fresh = statistics.gain(results, *_FINE_TUNINGS, "validation")
        return "fresh" if fresh.mean > fresh.error else "related"

    def _waiting(self) -> bool:
        """Whether the head cannot be chosen yet."""
        seeds = range(self.config.seeds)
        wanted = itertools.product(_FINE_TUNINGS, seeds)
        return any(self.folder.result(*each) is None for each in wanted)

    def _origin(self, result: Result) -> dict[str, Any]:
        """Returns where a result was made, and the ROC AUC of its weights."""
        cores, kind = os.cpu_count(), platform.machine()
        origin = {
            "versions": environment.package_versions(),
            "machine": f"{cores} cores, {kind}",
        }
        relevant = np.isin(self.source.class_names, self.config.relevant)
        has_weights = result.weights is not None
        if has_weights and relevant.any() and not relevant.all():
            area = statistics.roc_area(relevant, result.weights)
            origin["weight_area"] = area
        return origin
