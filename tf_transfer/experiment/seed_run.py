"""The stages of one seed's run, from which the methods are composed."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tf_transfer.config import Training
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import Part, TargetSplit
from tf_transfer.datl.callback import DATL
from tf_transfer.datl.estimation import TargetPrior, estimate_target_prior
from tf_transfer.datl.importance_weights import ImportanceWeights
from tf_transfer.experiment.compiled_models import CompiledModels, Outcome
from tf_transfer.experiment.records.results import Scores
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.source_parts import SourceParts
from tf_transfer.experiment.stages.fitter import StageFitter
from tf_transfer.experiment.stages.pipelines import InputPipelines, Weights
from tf_transfer.experiment.stages.stage_cache import StageCache
from tf_transfer.experiment.stages.trainers import (
    ProgressCallback,
    State,
    Trainer,
)
from tf_transfer.models import classifiers
from tf_transfer.models.inference import stream_outputs
from tf_transfer.training.tensorboard import TensorBoardWriter


class SeedRun:
    """One seed: its data, its generalist, and the stages of training.

    What methods share is trained by the first that needs it.

    Args:
        models: the compiled models.
        source: all labelled source images.
        target: the target's parts, drawn with this seed.
        seed: of the initialisations and orders.
        folder: keeps the generalist and the models of the results.
        advance: called with the number of optimizer steps taken.
        head: `related` or `fresh`, for methods without a head of their own.
        tensorboard: writes the logs of the stages; by default none are.
        source_rate: the learning rate of source stages that have none.

    Attributes:
        parts: of the source.
        source: the source images to train with.
        pipelines: batches of source and target.
        cache: of the stages, with the history of the present method.
        learned: weights that the present method trains with, for its result.
    """

    def __init__(
        self,
        models: CompiledModels,
        source: ImageData,
        target: TargetSplit,
        seed: int,
        folder: RunFolder,
        advance: Callable[[int], None],
        head: str = "related",
        tensorboard: TensorBoardWriter | None = None,
        source_rate: float = 0.0,
    ):
        self.models = models
        self.config = models.config
        self.target = target
        self.seed = seed
        self.head = head
        self._source_rate = source_rate
        self.folder = folder
        self.parts = SourceParts.of(source, self.config.datl, seed)
        self.source = self.parts.train
        self.pipelines = InputPipelines(self.config, self.source, target, seed)
        self.cache = StageCache(folder, seed)
        self._fitter = StageFitter(
            self.cache,
            seed,
            ProgressCallback(advance),
            tensorboard or TensorBoardWriter(None),
            self.config.checkpoint_every,
        )
        self.learned: dict[str, Any] = {}
        self._generalist: State | None = None
        self._target_prior: TargetPrior | None = None
        self._importance: ImportanceWeights | None = None

    @property
    def passes(self) -> float:
        """How often pre-training draws as many images as the source has."""
        stage = self.config.pretraining
        return stage.steps * stage.batch_size / len(self.source.labels)

    @property
    def passes_drawn(self) -> float | None:
        """The same if images are drawn by weight; None if none are."""
        return None if self.config.datl.apply == "attach" else self.passes

    def random_state(self) -> State:
        """Returns the seed's random initialisation of a source model."""
        return self.models.random_state(self.seed)

    def train_generalist(self) -> State:
        """Trains a model on the whole source, or loads it from the folder."""
        if self._generalist is None:
            model = self.models.pretrained
            if model is None:
                shape = self.models.image_shape, self.source.num_classes
                model = self.folder.load_model("generalist", self.seed, *shape)
            if model is None:
                self._generalist = self._train_new_generalist()
            else:
                self._generalist = [np.array(v) for v in model.variables]
        return self._generalist

    def _train_new_generalist(self) -> State:
        stage = self._with_rate(self.config.generalist)
        trainer = self.models.source
        # In another order than the further pre-training.
        batches = self.pipelines.source(stage.batch_size, order=0)
        with (
            trainer.loaded(self.random_state()) as model,
            self.cache.folders_of("generalist"),
        ):
            self.fit("generalist", trainer, batches, stage)
            self.folder.save_model(model, "generalist", self.seed)
            return trainer.state()

    def _with_rate(self, stage: Training) -> Training:
        """Returns a stage on the source, at the rate found if none is set."""
        rate = stage.learning_rate or self._source_rate
        return dataclasses.replace(stage, learning_rate=rate)

    def fit(self, name: str, trainer: Trainer, *args, **kwargs) -> None:
        """Trains a stage; see `StageFitter.fit`."""
        on_source = trainer is self.models.source
        images = self.source if on_source else self.target.labelled
        self._fitter.fit(name, trainer, images, *args, **kwargs)

    @functools.cached_property
    def source_accuracy(self) -> float:
        """The accuracy of the generalist on a sample of the source."""
        with self.models.generalist.loaded(self.train_generalist()) as model:
            outputs = stream_outputs(model, self.parts.sample)
            right = [rows.argmax(axis=1) == labels for rows, labels in outputs]
        return float(np.concatenate(right).mean())

    def estimation_settings(self) -> dict[str, Any]:
        """Returns the settings of `estimate_target_prior`."""
        datl = self.config.datl
        return {
            "estimator": datl.estimator,
            "temperature": datl.temperature,
            "calibrate": datl.calibrate,
            "held_out": self.parts.compared,
        }

    def estimate_target_prior(self) -> TargetPrior:
        """Estimates P_t by the generalist from the target images, once."""
        if self._target_prior is None:
            generalist = self.train_generalist()
            with self.models.generalist.loaded(generalist) as model:
                self._target_prior = estimate_target_prior(
                    model,
                    self.target.for_prior.batches(),
                    self.source.prior,
                    **self.estimation_settings(),
                )
        return self._target_prior

    def importance(self, **changes) -> ImportanceWeights:
        """Returns unset weights, shaped as configured but for `changes`."""
        datl, most = self.config.datl, None
        if datl.repeats:
            most = datl.repeats / self.passes
        shaping = {
            "temper": np.inf if datl.shape == "cut" else datl.temper,
            "most": most,
            "clip": datl.clip or None,
            "floor": datl.floor,
            "top_k": datl.top_k or None,
        }
        return ImportanceWeights(self.source.num_classes, **shaping | changes)

    def estimate_importance(self) -> ImportanceWeights:
        """Estimates DATL's weights, once; they must not be changed."""
        if self._importance is None:
            prior = self.estimate_target_prior().prior
            self._importance = self.importance()
            self._importance.update(prior, self.source.prior)
        return self._importance

    def pretrain_unweighted(self) -> State:
        """Trains further on the whole source, once for all methods."""
        return self.cache.share("unweighted", lambda: self.pretrain(None))

    def pretrain(
        self, importance: Weights | None, estimate: bool = True
    ) -> State:
        """Trains a source model on the weighted, or the whole, source.

        Args:
            importance: the weights; None for the whole source.
            estimate: whether they are estimated first, from the target.
        """
        continued = self.config.datl.start == "generalist"
        start = self.train_generalist() if continued else self.random_state()
        stage = self._with_rate(self.config.pretraining)
        trainer = self.models.source
        batches = self.pipelines.source(stage.batch_size, importance)
        if importance is None:
            with trainer.loaded(start):
                self.fit("pretraining", trainer, batches, stage)
                return trainer.state()
        generalist = self.train_generalist()
        with (
            self.models.generalist.loaded(generalist) as model,
            trainer.loaded(start),
        ):
            self.fit(
                "pretraining",
                trainer,
                batches,
                stage,
                [self._weighting(importance, model)] if estimate else [],
                weights=importance.numpy,
                also=[importance],
                fresh=estimate
                and bool(self.config.datl.every or self.config.datl.growing),
            )
            self.learned = {"weights": importance.numpy().tolist()}
            return trainer.state()

    def _weighting(
        self, importance: ImportanceWeights, generalist: keras.Model
    ) -> DATL:
        """Returns the callback that estimates weights for a pre-training."""
        return DATL(
            importance,
            self.target.for_prior.batches(),
            self.source.prior,
            generalist,
            every=self.config.datl.every or None,
            growing=self.config.datl.growing,
            passes=self.passes_drawn,
            **self.estimation_settings(),
        )

    def choose_rate(self, train: Callable[[Part, float], State]) -> Outcome:
        """Chooses a learning rate on validation images, then uses them all.

        Args:
            train: trains on a part of the target at a rate; returns the state
                of the target model.
        """
        grid = self.config.finetuning.learning_rates
        scores = []
        for rate in grid:
            with self.models.target.loaded(train(Part.TRAIN, rate)):
                scores.append(self.evaluate(Part.VALIDATION))
        best = max(
            range(len(grid)),
            key=lambda i: (scores[i].accuracy, -scores[i].loss),
        )
        state = train(Part.LABELLED, grid[best])
        return Outcome(state, grid[best], scores[best])

    def finetune(self, state: State, head: str | None = None) -> Outcome:
        """Trains the target model from a source state.

        Args:
            state: of the source model.
            head: how the target head starts; None for the head of this run.
        """
        head = head or self.head
        return self.choose_rate(
            lambda part, rate: self.finetune_at(rate, state, part, head)
        )

    def finetune_unweighted(self, head: str) -> Outcome:
        """Fine-tunes from `pretrain_unweighted`."""
        return self.choose_rate(
            lambda part, rate: self.finetune_unweighted_at(rate, part, head)
        )

    def finetune_unweighted_at(
        self, rate: float, part: Part, head: str
    ) -> State:
        """Fine-tunes from `pretrain_unweighted`, once for all methods.

        For the arguments, see `finetune_at`.
        """
        state = self.pretrain_unweighted()
        return self.cache.share(
            f"{head}-{part.value}-{rate}",
            lambda: self.finetune_at(rate, state, part, head),
        )

    def finetune_at(
        self, rate: float, state: State, part: Part, head: str
    ) -> State:
        """Fine-tunes from a source state at one rate.

        Args:
            rate: the learning rate.
            state: of the source model.
            part: of the target, to train with.
            head: how the target head starts.
        """
        settings, trainer = self.config.finetuning, self.models.target
        with self.models.source.loaded(state) as source:
            body = state[: -len(source.layers[-1].variables)]
            start = [*body, *self.target_head(part, head)]
        batches = self.pipelines.target(part)
        with trainer.loaded(start) as model:
            if settings.head_steps:
                encoder = classifiers.encoder_of(model)
                stage = Training(steps=settings.head_steps, learning_rate=rate)
                encoder.trainable = False
                trainer.compile()
                self.fit("head", trainer, batches, stage)
                encoder.trainable = True
                trainer.compile()
            stage = Training(steps=settings.steps, learning_rate=rate)
            self.fit("finetuning", trainer, batches, stage)
            return trainer.state()

    def target_head(self, part: Part, head: str) -> list[np.ndarray]:
        """Returns the weights at which the target head starts.

        Args:
            part: of the target, to train with.
            head: `fresh`, or `related` to the present source model.
        """
        if head == "related":
            return self.models.related_head(self.target.part(part).batches())
        keras.utils.set_random_seed(self.seed)
        return self.models.fresh_head()

    def evaluate(self, part: Part) -> Scores:
        """Returns the scores of the present target model on a part."""
        images = self.target.part(part)
        logits = self.models.target.logits(images.batches())
        return Scores.of(logits, images.labels)
