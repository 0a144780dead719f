"""The compiled models of an experiment, shared by its seeds."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_transfer.co_tuning.model import CoTuning
from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.experiment.records.results import Scores
from tf_transfer.experiment.stages.co_tuning_trainer import CoTuningTrainer
from tf_transfer.experiment.stages.trainers import L2TLTrainer, State, Trainer
from tf_transfer.l2tl.model import L2TL
from tf_transfer.l2tl.policy import FixedPolicy, WeightPolicy
from tf_transfer.models import class_relation, classifiers, copies, encoders
from tf_transfer.training import distribution


@dataclasses.dataclass
class Outcome:
    """A fine-tuned target classifier, and how it was trained.

    Attributes:
        state: values of the variables of `CompiledModels.target`.
        learning_rate: chosen on the validation images.
        validation: scores on them, after training without them.
    """

    state: State
    learning_rate: float
    validation: Scores


class CompiledModels:
    """The compiled models of an experiment, shared by its seeds.

    Args:
        config: the experiment.
        image_shape: `(size, size, channels)`.
        num_source_classes, num_target_classes: outputs of the models.

    Attributes:
        generalist: predicts source classes while `source` is in training.
        source: trains source classifiers.
        target: trains target classifiers.
        pretrained: the model of `generalist_path`, or None.
        strategy: the distribution strategy.
    """

    def __init__(
        self,
        config: Experiment,
        image_shape: tuple[int, int, int],
        num_source_classes: int,
        num_target_classes: int,
    ):
        self.config = config
        self.image_shape = image_shape
        self.num_source_classes = num_source_classes
        self.num_target_classes = num_target_classes
        self.strategy = distribution.strategy(config.strategy)
        self.pretrained = None
        if config.generalist_path:
            self.pretrained = classifiers.load_classifier(
                config.generalist_path, image_shape, num_source_classes
            )
        tuning, joint = config.finetuning, config.joint_steps
        with self.strategy.scope():
            self.generalist = Trainer(self.new_source_model())
            self.source = Trainer(
                self.new_source_model(),
                [config.generalist.steps, config.pretraining.steps],
                config.optimizer,
            )
            self.target = Trainer(
                classifiers.replace_head(self.source.model, num_target_classes),
                [tuning.steps, tuning.head_steps, tuning.steps - joint],
                config.optimizer,
            )

    @classmethod
    def of(
        cls, config: Experiment, source: ImageData, target: ImageData
    ) -> "CompiledModels":
        """Returns the models for images and classes of source and target."""
        shape = source.images.shape[1:]
        return cls(config, shape, source.num_classes, target.num_classes)

    def new_source_model(self) -> keras.Model:
        """Returns a randomly initialised source classifier."""
        if self.pretrained is not None:
            model = copies.fresh_copy_of(self.pretrained)
        else:
            settings = self.config.encoder
            with classifiers.precision(settings.precision):
                body = encoders.encoder(
                    settings.name,
                    self.image_shape,
                    settings.width,
                    settings.weights,
                    settings.form,
                )
            model = classifiers.classifier(body, self.num_source_classes)
            model.build((None, *self.image_shape))
        classifiers.follow_quickly(model)
        return model

    def random_state(self, seed: int) -> State:
        """Returns a seed's random initialisation of a source model."""
        keras.utils.set_random_seed(seed)
        return [np.array(v) for v in self.new_source_model().variables]

    @property
    def mixes_heads(self) -> bool:
        """Whether a related target head can be mixed from the source head."""
        return isinstance(self.source.model.layers[-1], keras.layers.Dense)

    def related_head(self, target: tf.data.Dataset) -> list[np.ndarray]:
        """Returns a target head mixed from the present head of `source`.

        Each target class starts as the mixture of the source classes that its
        images look like.

        Args:
            target: labelled target images.

        Returns:
            Kernel and bias.

        Raises:
            InputError: for a model from which no head can be mixed.
        """
        self.check_mixes_heads()
        source, count = self.source.model, self.num_target_classes
        relation = class_relation.class_relation(source, target, count)
        return classifiers.mixed_head(source.layers[-1], count, relation)

    def check_mixes_heads(self) -> None:
        """Raises InputError for a model from which no head can be mixed."""
        if not self.mixes_heads:
            last = self.source.model.layers[-1]
            raise InputError(
                "A related target head needs a generalist that ends in a "
                "Dense layer; set `finetuning.head=fresh`, and leave out "
                "finetune_related and the methods of co-tuning. "
                f"Received: {type(last).__name__} {last.name!r}"
            )

    def fresh_head(self) -> list[np.ndarray]:
        """Returns kernel and bias of a random target head."""
        features = self.source.model.layers[-1].input.shape[-1]
        return classifiers.fresh_head(features, self.num_target_classes)

    @functools.cached_property
    def co_tuned(self) -> CoTuningTrainer:
        """Fine-tuning together with the source head."""
        settings, source = self.config.finetuning, self.source.model
        shape = (self.num_target_classes, self.num_source_classes)
        with self.strategy.scope():
            model = CoTuning(
                source,
                np.full(shape, 1 / self.num_source_classes),
                weight=settings.source_loss,
            )
            return CoTuningTrainer(
                model, [settings.steps], self.config.optimizer
            )

    @functools.cached_property
    def joint(self) -> L2TLTrainer:
        """Joint training with fixed class weights."""
        return self._l2tl(
            lambda: FixedPolicy(self.num_source_classes),
            self.config.joint_steps,
            self.config.l2tl.relabel,
        )

    @functools.cached_property
    def learner(self) -> L2TLTrainer:
        """Joint training in which a policy learns the class weights."""
        settings = self.config.l2tl
        return self._l2tl(
            lambda: WeightPolicy(
                self.num_source_classes,
                settings.levels,
                entropy=settings.entropy,
            ),
            settings.steps,
        )

    def _l2tl(
        self,
        policy: Callable[[], FixedPolicy | WeightPolicy],
        steps: int,
        relabel: bool = False,
    ) -> L2TLTrainer:
        settings = self.config.l2tl
        body = classifiers.encoder_of(self.source.model)
        with self.strategy.scope():
            model = L2TL(
                copies.fresh_copy_of(body),
                self.num_source_classes,
                self.num_target_classes,
                policy=policy(),
                credit=settings.credit,
                reward=settings.reward,
                improvement=settings.improvement,
                oversample=settings.oversample,
                policy_warmup=settings.policy_warmup,
                relabel=relabel,
            )
            return L2TLTrainer(
                model,
                [steps],
                settings.policy_learning_rate,
                self.config.optimizer,
            )
