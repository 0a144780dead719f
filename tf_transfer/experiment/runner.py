"""The order in which the methods and seeds of an experiment are trained."""

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Collection, Iterator

import numpy as np

from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.experiment import facts, statistics
from tf_transfer.experiment.compiled_models import CompiledModels
from tf_transfer.experiment.methods import METHODS, Method, base
from tf_transfer.experiment.methods.base import GENERALIST, planned_steps
from tf_transfer.experiment.methods.baselines import BY_HEAD
from tf_transfer.experiment.records import forecast, label_check
from tf_transfer.experiment.records.forecast import Forecast
from tf_transfer.experiment.records.results import Predictions, Result, Scores
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.stages import rates
from tf_transfer.training import distribution
from tf_transfer.training.tensorboard import TensorBoardWriter
from tf_transfer.utils import environment
from tf_transfer.utils.progress import Progress, fact

_PAUSE = 0.5


def unfinished(config: Experiment, folder: RunFolder, seed: int) -> list[str]:
    """Returns the methods that have no result of a seed yet."""
    return [m for m in config.methods if folder.result(m, seed) is None]


class Runner:
    """Trains the unfinished methods of the given seeds, in one process.

    With `finetuning.head="chosen"` the methods that have a head of their own
    are trained for all seeds first. The other methods then start from the head
    that was better; see `config.FineTuning`.

    Args:
        config: the experiment.
        folder: of the run, in which other processes may train other seeds.
        source: all labelled source images.
        target: the target.
        splits: the target's parts of every seed to train.
        quiet: print no progress.
        finished: called when a seed has finished the methods that it can.
    """

    def __init__(
        self,
        config: Experiment,
        folder: RunFolder,
        source: ImageData,
        target: ImageData,
        splits: dict[int, TargetSplit],
        quiet: bool = False,
        finished: Callable[[], None] = lambda: None,
    ):
        self.config = config
        self.folder = folder
        self.finished = finished
        self.source = source
        self.splits = splits
        self.models = CompiledModels.of(config, source, target)
        self.tensorboard = TensorBoardWriter(
            folder.files if folder.writes else None
        )
        self._source_rate = 0.0
        self.progress = Progress(0, quiet or not folder.writes)

    def _planned_steps(self, seed: int, methods: Collection[str]) -> int:
        """Returns the optimizer steps of what a seed has not finished."""
        missing = unfinished(self.config, self.folder, seed)
        return planned_steps(
            self.config,
            [name for name in missing if name in methods],
            self.folder.model_path(GENERALIST, seed).exists(),
        )

    def settle_rate(self) -> None:
        """Finds the learning rate of training on the source, if none is set."""
        stage = self.config.generalist
        self._source_rate = self._source_rate or stage.learning_rate
        if base.use_source(self.config.methods) and not self._source_rate:
            self.progress.start("learning rate")
            self._source_rate = rates.settle(
                self.models.source,
                lambda: self.models.random_state(seed=0),
                self.source,
                stage,
                self.folder,
            )

    def run(self) -> Iterator[SeedRun]:
        """Yields the run of every seed when all its methods are finished."""
        self.settle_rate()
        methods, head = self.config.methods, self.config.finetuning.head
        self.progress.planned = sum(
            self._planned_steps(seed, methods) for seed in self.splits
        )
        if head == "chosen":
            head = "related"
            follows = any(METHODS[name].head is None for name in methods)
            if follows and set(BY_HEAD.values()) <= set(methods):
                head = self._chosen_head()
        for seed in self.splits:
            run = self._seed_run(seed, head)
            self._train(run, methods)
            self.folder.forget_stages(seed)
            yield run
            del run  # with its states, before the next one is trained
        self.progress.close()

    def forecast(self, seed: int) -> Forecast:
        """Measures, by a seed's generalist, what can be expected."""
        self.settle_rate()
        return facts.forecast(self._seed_run(seed))

    def _tell_forecast(self, run: SeedRun) -> None:
        """Writes `forecast.json`, and prints what can be expected."""
        found = facts.forecast(run)
        self.folder.write(forecast.NAME, dataclasses.asdict(found))
        if not self.progress.quiet:
            self.progress.clear()
            for sentence in found.sentences():
                fact(sentence)

    def train_seed(self, seed: int, methods: Collection[str]) -> None:
        """Trains those of some methods that a seed has not finished."""
        self.progress.planned += self._planned_steps(seed, methods)
        head = self.config.finetuning.head
        self._train(self._seed_run(seed, head), methods)
        self.folder.forget_stages(seed)

    def _tell_doubts(self, run: SeedRun) -> None:
        """Writes `label_check.json`, and prints what it says."""
        found = facts.label_check(run)
        self.folder.write(label_check.NAME, dataclasses.asdict(found))
        if not self.progress.quiet:
            self.progress.clear()
            fact(f"data: {found.sentence(run.source.class_names)}")

    def _is_to_write(self, name: str) -> bool:
        """Whether a file about the source is missing, for this process.

        Several machines could see the file of the first one too late.
        """
        return (
            base.use_source(self.config.methods)
            and distribution.num_workers(self.models.strategy) == 1
            and not self.folder.has(name)
        )

    @property
    def _tells_forecast(self) -> bool:
        # How often a given generalist has seen the source is not known.
        given = self.config.generalist_path
        return not given and self._is_to_write(forecast.NAME)

    @property
    def _tells_doubts(self) -> bool:
        asked = self.config.examples.beliefs
        return asked and self._is_to_write(label_check.NAME)

    def _seed_run(self, seed: int, head: str = "related") -> SeedRun:
        return SeedRun(
            self.models,
            self.source,
            self.splits[seed],
            seed,
            self.folder,
            self.progress.advance,
            head,
            self.tensorboard,
            self._source_rate,
        )

    def _train(self, run: SeedRun, methods: Collection[str]) -> None:
        """Trains those of the methods that have no result yet."""
        config = self.config
        missing = unfinished(config, self.folder, run.seed)
        if run.seed == 0 and missing and self._tells_forecast:
            self.progress.start("generalist")
            self._tell_forecast(run)
        if run.seed == 0 and missing and self._tells_doubts:
            self._tell_doubts(run)
        for name in missing:
            if name in methods:
                self.progress.start(
                    f"seed {run.seed} of 0..{config.seeds - 1}, {name}"
                )
                result = self._add_area(measure(METHODS[name], run))
                self.tensorboard.result(
                    result.to_json(), dataclasses.asdict(config)
                )
                self.folder.add(result)
                self.folder.forget_stages(run.seed, name)
        if set(missing) & set(methods):
            self.progress.clear()
            self.finished()

    def _chosen_head(self) -> str:
        """Returns the better head, by the validation images of all seeds.

        The related one, unless the fresh one is better by more than a standard
        error: a few validation images prove little, and an untrained head
        costs most where labels are few.

        Trains the methods that decide it, and waits for other processes.
        """
        if not self._head_is_decided():  # else there is nothing to set up
            own = {name for name, method in METHODS.items() if method.head}
            for seed in self.splits:
                self._train(self._seed_run(seed), own)
        if not self._head_is_decided():
            self.progress.start("waiting for the other processes")
        while not self._head_is_decided():
            time.sleep(_PAUSE)
            self.folder.refresh()
        gain = statistics.gain(
            self.folder.results,
            BY_HEAD["fresh"],
            BY_HEAD["related"],
            "validation",
        )
        return "fresh" if gain.mean > gain.error else "related"

    def _head_is_decided(self) -> bool:
        """Whether the methods that choose the head are finished."""
        return all(
            self.folder.result(name, seed) is not None
            for name in BY_HEAD.values()
            for seed in range(self.config.seeds)
        )

    def _add_area(self, result: Result) -> Result:
        """Adds the ROC AUC of the weights, if relevant classes are named."""
        relevant = np.isin(self.source.class_names, self.config.relevant)
        if not result.weights or not relevant.any() or relevant.all():
            return result
        area = statistics.roc_area(relevant, result.weights)
        return dataclasses.replace(result, weight_area=area)


def measure(method: Method, run: SeedRun) -> Result:
    """Runs a method, reads the test images, once, and saves the model.

    The seconds are the method's own, without the shared generalist. What an
    interrupted process has trained is not trained again.
    """
    if method.uses_source:
        run.train_generalist()
    run.cache.begin_method()
    run.learned = {}
    with run.cache.folders_of(method.name):
        outcome = method(run)
    labels, target = run.target.test.labels, run.models.target
    with target.loaded(outcome.state) as model:
        logits = target.logits(run.target.test.batches())
        predictions = Predictions.of(logits, labels)
        run.folder.save_predictions(predictions, method.name, run.seed)
        run.folder.save_model(model, method.name, run.seed)
    return Result(
        method=method.name,
        seed=run.seed,
        test=Scores.of(logits, labels),
        validation=outcome.validation,
        learning_rate=outcome.learning_rate,
        seconds=round(run.cache.seconds(), 2),
        history=run.cache.history,
        head=method.head or run.head,
        versions=environment.package_versions(),
        machine=f"{os.cpu_count()} cores, {platform.machine()}",
        failed_rates=run.cache.failed,
        **run.learned,
    )
