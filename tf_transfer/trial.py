"""The stages of one seed's run, from which the methods are composed."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_transfer import distribution, metrics, models, sampling
from tf_transfer.config import Experiment, Training
from tf_transfer.data import ImageData, TargetSplit
from tf_transfer.datl import DATL, ImportanceWeights
from tf_transfer.estimation import TargetPrior, estimate_target_prior
from tf_transfer.runfolder import RunFolder

_HELD_OUT = 0.1
_TEST_BATCH = 512


@dataclasses.dataclass
class Outcome:
    """A fine-tuned model and how it came to be.

    Attributes:
        model: the target classifier.
        learning_rate: chosen on the validation images.
        validation: metrics on them, trained without them.
        history: logs per stage, by name.
    """

    model: keras.Model
    learning_rate: float
    validation: dict[str, float]
    history: dict[str, dict[str, list[float]]]


class _Report(keras.callbacks.Callback):
    """Tells the progress line how many steps were taken."""

    def __init__(self, advance: Callable[[int], None], steps: int):
        super().__init__()
        self.advance = advance
        self.steps = steps

    def on_epoch_end(self, epoch, logs=None):
        self.advance(self.steps)


class Trial:
    """One seed: its data, its generalist, and the stages of training.

    Args:
        config: the experiment.
        source: all labelled source images.
        target: the target's parts, drawn with this seed.
        seed: of the initialisations and orders.
        folder: where the generalist is kept.
        advance: called with the number of optimizer steps taken.
    """

    def __init__(
        self,
        config: Experiment,
        source: ImageData,
        target: TargetSplit,
        seed: int,
        folder: RunFolder,
        advance: Callable[[int], None],
    ):
        self.config = config
        self.seed = seed
        self.folder = folder
        self.advance = advance
        self.target = target
        order = np.random.default_rng(seed).permutation(len(source.labels))
        held = max(1, int(_HELD_OUT * len(order)))
        self.held_out = source.take(order[:held])
        self.source = source.take(np.sort(order[held:]))
        self.scope = distribution.strategy(config.strategy)
        self.history: dict[str, dict[str, list[float]]] = {}

    # Models.

    def new_model(self) -> keras.Model:
        """Returns a source classifier with the seed's random weights."""
        keras.utils.set_random_seed(self.seed)
        settings = self.config.encoder
        with self.scope.scope():
            body = models.encoder(
                settings.name, self.source.images.shape[1:], settings.width
            )
            model = models.classifier(body, self.source.num_classes)
            model.build((None, *self.source.images.shape[1:]))
        return model

    @functools.cached_property
    def generalist(self) -> keras.Model:
        """The model trained on the whole source, kept for a continued run."""
        path = self.config.generalist_path
        kept = self.folder.model_path("generalist", self.seed)
        if path or kept.exists():
            with self.scope.scope():
                return models.load_classifier(
                    path or str(kept),
                    self.source.images.shape[1:],
                    self.source.num_classes,
                )
        model = self.new_model()
        stage = self.config.generalist
        # Another order than that of the further pre-training.
        images = self._source_images(None, stage, seed=2 * self.seed)
        self._fit(model, images, stage, "generalist")
        self.folder.save_model(model, "generalist", self.seed)
        return model

    # Importance weights.

    @functools.cached_property
    def estimation(self) -> dict[str, Any]:
        """The settings of `estimate_target_prior`."""
        datl = self.config.datl
        needed = datl.calibrate or datl.estimator == "bbse"
        return {
            "estimator": datl.estimator,
            "temperature": datl.temperature,
            "calibrate": datl.calibrate,
            "held_out": self.held_out.batches(_TEST_BATCH) if needed else None,
        }

    @functools.cached_property
    def target_prior(self) -> TargetPrior:
        """P_t, estimated by the generalist from the labelled images alone."""
        return estimate_target_prior(
            self.generalist,
            self.target.labelled.batches(_TEST_BATCH),
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
        return ImportanceWeights(
            self.source.num_classes, **(shaping | changes)
        )

    # Training.

    def pretrain(self, importance: ImportanceWeights | None) -> keras.Model:
        """Trains a source model on the weighted, or the whole, source."""
        datl = self.config.datl
        model = self.new_model()
        if importance is None or datl.start == "generalist":
            model.set_weights(self.generalist.get_weights())
        callbacks = []
        if importance is not None:
            callbacks.append(
                DATL(
                    importance,
                    self.target.labelled.batches(_TEST_BATCH),
                    self.source.prior,
                    self.generalist,
                    every=datl.every or None,
                    **self.estimation,
                )
            )
        stage = self.config.pretraining
        images = self._source_images(importance, stage, 2 * self.seed + 1)
        self._fit(model, images, stage, "pretraining", callbacks)
        return model

    def finetune(self, model: keras.Model) -> Outcome:
        """Chooses a learning rate on validation images, then uses them all."""
        grid = self.config.finetuning.learning_rates
        tried = []
        for rate in grid:
            tuned = self._tune(model, self.target.train, rate)
            tried.append(self.evaluate(tuned, self.target.validation))
        best = max(
            range(len(grid)),
            key=lambda i: (tried[i]["accuracy"], -tried[i]["loss"]),
        )
        tuned = self._tune(model, self.target.labelled, grid[best])
        return Outcome(tuned, grid[best], tried[best], self.history)

    def _tune(
        self, model: keras.Model, images: ImageData, rate: float
    ) -> keras.Model:
        """Fine-tunes a copy of a model with a fresh head."""
        settings = self.config.finetuning
        keras.utils.set_random_seed(self.seed)
        with self.scope.scope():
            tuned = models.replace_head(model, images.num_classes)
            tuned.build((None, *images.images.shape[1:]))
        batches = images.gather(
            sampling.shuffled(
                len(images.labels),
                batch_size=settings.batch_size,
                seed=self.seed,
            )
        )
        body = models.encoder_of(tuned)
        if settings.head_steps:
            body.trainable = False
            stage = Training(steps=settings.head_steps, learning_rate=rate)
            self._fit(tuned, batches, stage, "head")
            body.trainable = True
        stage = Training(steps=settings.steps, learning_rate=rate)
        self._fit(tuned, batches, stage, "finetuning")
        return tuned

    def _source_images(
        self,
        importance: ImportanceWeights | None,
        stage: Training,
        seed: int,
    ) -> tf.data.Dataset:
        """Returns endless batches of source images, weighted as configured."""
        apply = "whole" if importance is None else self.config.datl.apply
        labels = self.source.labels
        batch = {"batch_size": stage.batch_size, "seed": seed}
        if apply == "draw":
            return self.source.gather(importance.draw(labels, **batch))
        indices = sampling.shuffled(len(labels), **batch)
        if apply in ("resample", "elastic"):
            known = tf.constant(labels)
            records = indices.map(lambda i: (i, tf.gather(known, i)))
            chosen = importance.resample(
                records, seed=seed, replacement=apply == "resample"
            )
            indices = chosen.map(lambda i, label: i)
        images = self.source.gather(indices)
        return importance.attach(images) if apply == "attach" else images

    def _fit(
        self,
        model: keras.Model,
        batches: tf.data.Dataset,
        stage: Training,
        name: str,
        callbacks: list[keras.callbacks.Callback] | None = None,
    ) -> None:
        """Runs `fit` for the stage's steps and keeps its history."""
        epochs = math.gcd(stage.steps, 10)
        steps = stage.steps // epochs
        with self.scope.scope():
            optimizer = keras.optimizers.SGD(
                keras.optimizers.schedules.CosineDecay(
                    stage.learning_rate / 100,
                    stage.steps,
                    warmup_target=stage.learning_rate,
                    warmup_steps=stage.steps // 10,
                ),
                momentum=0.9,
                nesterov=True,
                weight_decay=5e-3,
            )
            model.compile(
                optimizer,
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
            )
        history = model.fit(
            batches,
            epochs=epochs,
            steps_per_epoch=steps,
            callbacks=[*(callbacks or []), _Report(self.advance, steps)],
            verbose=0,
            shuffle=False,
        )
        self.history[name] = {
            key: [float(value) for value in values]
            for key, values in history.history.items()
        }

    def evaluate(self, model: keras.Model, images: ImageData) -> dict:
        """Returns the metrics of a model on images."""
        outputs = distribution.stream_outputs(
            model, images.batches(_TEST_BATCH)
        )
        logits = np.concatenate([rows for rows, _ in outputs])
        return metrics.classification_metrics(logits, images.labels)

    def measure(self, method: Callable[["Trial"], Outcome]) -> dict[str, Any]:
        """Runs a method and reads the test images, once."""
        started = time.monotonic()
        self.history = {}
        outcome = method(self)
        test = self.evaluate(outcome.model, self.target.test)
        self.folder.save_model(outcome.model, method.__name__, self.seed)
        return {
            "method": method.__name__,
            "seed": self.seed,
            "test": test,
            "validation": outcome.validation,
            "learning_rate": outcome.learning_rate,
            "seconds": round(time.monotonic() - started, 2),
            "history": outcome.history,
        }
