"""The stages of one seed's run, from which the methods are composed."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.config import Training
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit, draw_per_class, hold_out
from tf_transfer.datl.callback import DATL
from tf_transfer.datl.estimation import TargetPrior, estimate_target_prior
from tf_transfer.datl.importance_weights import ImportanceWeights
from tf_transfer.experiment.compiled_models import CompiledModels, Outcome
from tf_transfer.experiment.pipelines import InputPipelines
from tf_transfer.experiment.results import Predictions, Result, Scores
from tf_transfer.experiment.run_folder import RunFolder
from tf_transfer.experiment.stage_cache import StageCache
from tf_transfer.experiment.trainers import ProgressCallback, State, Trainer
from tf_transfer.models import classifiers
from tf_transfer.models.inference import stream_outputs
from tf_transfer.training.tensorboard import Records

_HELD_OUT = 0.1
_PER_CLASS = 20


class SeedRun:
    """One seed: its data, its generalist, and the stages of training.

    Args:
        bench: the models.
        source: all labelled source images.
        target: the target's parts, drawn with this seed.
        seed: of the initialisations and orders.
        folder: where the generalist and the results' models are kept.
        advance: called with the number of optimizer steps taken.
        head: `related` or `fresh`, where a method does not say.
        records: of the stages, for TensorBoard; by default none.
    """

    def __init__(
        self,
        bench: CompiledModels,
        source: ImageData,
        target: TargetSplit,
        seed: int,
        folder: RunFolder,
        advance: Callable[[int], None],
        head: str = "related",
        records: Records | None = None,
    ):
        self.bench = bench
        self.config = bench.config
        self.target = target
        self.seed = seed
        self.folder = folder
        self.progress = ProgressCallback(advance)
        self.head = head
        self.records = records or Records(None)
        self.source, self.held_out = source, None
        datl = bench.config.datl
        if datl.calibrate or datl.estimator == "bbse":
            kept, held = hold_out(source, _HELD_OUT, seed)
            self.source, self.held_out = source.take(kept), source.take(held)
        self.batches = InputPipelines(bench.config, self.source, seed)
        self.ledger = StageCache(folder, seed)
        self.learned: dict[str, Any] = {}

    def random_state(self) -> State:
        """Returns the seed's random initialisation of a source model."""
        keras.utils.set_random_seed(self.seed)
        return [np.array(v) for v in self.bench.new_source_model().variables]

    @functools.cached_property
    def generalist(self) -> State:
        """The model trained on the whole source, kept for a continued run."""
        bench = self.bench.source  # which is traced for other stages, too
        given = self.bench.given_generalist
        kept = self.folder.model_path("generalist", self.seed)
        if given is None and kept.exists():
            given = classifiers.load_classifier(
                str(kept), self.bench.image_shape, self.source.num_classes
            )
        if given is not None:
            return [np.array(variable) for variable in given.variables]
        bench.load(self.random_state())
        stage = self.config.generalist
        # Another order than that of the further pre-training.
        images = self.batches.source(stage.batch_size, order=0)
        with self.ledger.keeping("generalist"):
            self.fit("generalist", bench, images, stage)
        self.folder.save_model(bench.model, "generalist", self.seed)
        return bench.state()

    def fit(
        self,
        name: str,
        bench: Trainer,
        batches: Callable[[int], tf.data.Dataset],
        stage: Training,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        weights: Callable[[], np.ndarray] | None = None,
        **keep,
    ) -> None:
        """Trains one stage, or what an interruption left of it.

        Args:
            name: of the stage in the history.
            bench: holds the model at its start, and then at its end.
            batches: the endless data from a step on.
            stage: steps and learning rate.
            callbacks: of the stage.
            weights: gives the importance weights, `[C]`, to be recorded.
            **keep: `also` and `fresh` of `Trainer.fit`.
        """
        folder = self.ledger.next_folder()
        recorded = self.records.stage(folder, name, weights)
        found = bench.fit(
            batches,
            stage,
            [*callbacks, *recorded, self.progress],
            folder=folder,
            every=self.config.checkpoint_every,
            **keep,
        )
        self.ledger.add(name, found.history(), found.seconds)

    @functools.cached_property
    def some_source(self) -> tf.data.Dataset:
        """Some images of every source class."""
        chosen = draw_per_class(self.source.labels, _PER_CLASS, self.seed)
        return self.source.take(chosen).batches()

    @functools.cached_property
    def source_accuracy(self) -> float:
        """Share of some source images on which the generalist is right."""
        self.bench.generalist.load(self.generalist)
        outputs = stream_outputs(self.bench.generalist.model, self.some_source)
        right = [rows.argmax(axis=1) == labels for rows, labels in outputs]
        return float(np.concatenate(right).mean())

    @functools.cached_property
    def estimation(self) -> dict[str, Any]:
        """The settings of `estimate_target_prior`."""
        datl = self.config.datl
        held_out = self.held_out
        return {
            "estimator": datl.estimator,
            "temperature": datl.temperature,
            "calibrate": datl.calibrate,
            "held_out": held_out and held_out.batches(),
        }

    @functools.cached_property
    def target_prior(self) -> TargetPrior:
        """P_t, estimated by the generalist from the labelled images alone."""
        self.bench.generalist.load(self.generalist)
        return estimate_target_prior(
            self.bench.generalist.model,
            self.target.labelled.batches(),
            self.source.prior,
            **self.estimation,
        )

    def importance(self, **changes) -> ImportanceWeights:
        """Returns weights shaped as configured, but for `changes`."""
        datl = self.config.datl
        shaping = {
            "temper": datl.temper,
            "clip": datl.clip or None,
            "floor": datl.floor,
            "top_k": datl.top_k or None,
        }
        return ImportanceWeights(self.source.num_classes, **shaping | changes)

    @functools.cached_property
    def estimated(self) -> ImportanceWeights:
        """DATL's weights, by the generalist's estimate; not to be changed."""
        importance = self.importance()
        importance.update(self.target_prior.prior, self.source.prior)
        return importance

    @property
    def unweighted(self) -> State:
        """The model further trained on the whole source; methods share it."""
        return self.ledger.share("unweighted", lambda: self.pretrain(None))

    def tuned(self, head: str, images: ImageData, rate: float) -> State:
        """The model fine-tuned from `unweighted`; methods share it.

        Args:
            head: how the target head starts.
            images: the labelled target images to train with.
            rate: the learning rate.
        """
        state = self.unweighted
        return self.ledger.share(
            f"{head}-{len(images.labels)}-{rate}",
            lambda: self.tune(state, images, rate, head),
        )

    def pretrain(self, importance: ImportanceWeights | None) -> State:
        """Trains a source model on the weighted, or the whole, source."""
        datl, bench = self.config.datl, self.bench.source
        continued = datl.start == "generalist"
        start = self.generalist if continued else self.random_state()
        callbacks, keep = [], {}
        if importance is not None:
            self.bench.generalist.load(self.generalist)
            adapt = DATL(
                importance,
                self.target.labelled.batches(),
                self.source.prior,
                self.bench.generalist.model,
                every=datl.every or None,
                **self.estimation,
            )
            callbacks.append(adapt)
            keep = {"also": [importance], "fresh": bool(datl.every)}
            keep["weights"] = importance.numpy
        stage = self.config.pretraining
        images = self.batches.source(stage.batch_size, importance)
        # Not before: asking for the generalist may have trained it in there.
        bench.load(start)
        self.fit("pretraining", bench, images, stage, callbacks, **keep)
        if importance is not None:
            self.learned = {"weights": importance.numpy().tolist()}
        return bench.state()

    def choose(self, train: Callable[[ImageData, float], State]) -> Outcome:
        """Chooses a learning rate on validation images, then uses them all.

        Args:
            train: returns the target model's state after training with some
                labelled images at a learning rate.
        """
        grid = self.config.finetuning.learning_rates
        tried = []
        for rate in grid:
            self.bench.target.load(train(self.target.train, rate))
            tried.append(self.evaluate(self.target.validation))
        best = max(
            range(len(grid)),
            key=lambda i: (tried[i].accuracy, -tried[i].loss),
        )
        state = train(self.target.labelled, grid[best])
        return Outcome(state, grid[best], tried[best])

    def finetune(self, state: State, head: str | None = None) -> Outcome:
        """Trains the target model from a source state.

        Args:
            state: of the source model.
            head: how the target head starts; None as in this trial.
        """
        head = head or self.head
        return self.choose(
            lambda images, rate: self.tune(state, images, rate, head)
        )

    def finetune_unweighted(self, head: str) -> Outcome:
        """Trains the target model from `unweighted`, as `tuned` does."""
        return self.choose(functools.partial(self.tuned, head))

    def target_head(self, images: ImageData, head: str) -> list[np.ndarray]:
        """Returns the weights at which the target head starts.

        Args:
            images: the labelled target images to train with.
            head: `fresh`, or `related` to the source model as it is loaded.
        """
        source, count = self.bench.source.model, images.num_classes
        if head == "related":
            relation = self.bench.relation(images)
            return classifiers.mixed_head(source.layers[-1], count, relation)
        keras.utils.set_random_seed(self.seed)
        return classifiers.fresh_head(source.layers[-1].input.shape[-1], count)

    def tune(
        self, state: State, images: ImageData, rate: float, head: str
    ) -> State:
        """Trains the target model from a source state at one rate."""
        settings, bench = self.config.finetuning, self.bench.target
        self.bench.source.load(state)
        own = len(self.bench.source.model.layers[-1].variables)
        bench.load([*state[:-own], *self.target_head(images, head)])
        batches = self.batches.target(images)
        if settings.head_steps:
            body = classifiers.encoder_of(bench.model)
            stage = Training(steps=settings.head_steps, learning_rate=rate)
            body.trainable = False
            bench.compile()
            self.fit("head", bench, batches, stage)
            body.trainable = True
            bench.compile()
        stage = Training(steps=settings.steps, learning_rate=rate)
        self.fit("finetuning", bench, batches, stage)
        return bench.state()

    def evaluate(self, images: ImageData) -> Scores:
        """Returns the metrics of the target model on images."""
        logits = self.bench.target.logits(images)
        return Scores.of(logits, images.labels)

    def measure(
        self, name: str, method: Callable[["SeedRun"], Outcome]
    ) -> Result:
        """Runs a method, reads the test images, once, and saves the model.

        The seconds are the method's own, without the shared generalist. What
        an interrupted call has trained is not trained again.
        """
        if name != "scratch":
            _ = self.generalist
        self.ledger.begin()
        self.learned = {}
        with self.ledger.keeping(name):
            outcome = method(self)
        self.bench.target.load(outcome.state)
        logits = self.bench.target.logits(self.target.test)
        labels = self.target.test.labels
        predictions = Predictions.of(logits, labels)
        self.folder.save_predictions(predictions, name, self.seed)
        self.folder.save_model(self.bench.target.model, name, self.seed)
        return Result(
            method=name,
            seed=self.seed,
            test=Scores.of(logits, labels),
            validation=outcome.validation,
            learning_rate=outcome.learning_rate,
            seconds=round(self.ledger.seconds(), 2),
            history=self.ledger.history,
            **self.learned,
        )
