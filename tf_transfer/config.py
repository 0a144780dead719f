"""The settings of an experiment. Imports no TensorFlow.

A config file returns an `Experiment`; any field can be overridden on the
command line, e.g. `--config.data.labels_per_class=5`.
"""

import dataclasses
import importlib


@dataclasses.dataclass(slots=True, kw_only=True)
class Data:
    """What to learn from and for.

    Attributes:
        source: data set name, or several joined by `+`; see `loaders`.
        target: data set name.
        source_classes, target_classes: names of the classes that are used;
            none for all.
        image_size: side of the framed images in pixels.
        channels: 1 for grey, 3 for colour.
        align: bring framing and polarity together; see `framing`.
        max_pixels: an image file with more is refused before decoding.
        source_per_class: source images kept of each class; 0 keeps all.
        labels_per_class: labelled target images of each class.
        validation_per_class: how many of those are held out to choose the
            learning rate and the best method.
    """

    source: str = "glyphs"
    target: str = "digits"
    source_classes: tuple[str, ...] = ()
    target_classes: tuple[str, ...] = ()
    image_size: int = 12
    channels: int = 1
    align: bool = True
    max_pixels: int = 50_000_000
    source_per_class: int = 0
    labels_per_class: int = 10
    validation_per_class: int = 3


@dataclasses.dataclass(slots=True, kw_only=True)
class Encoder:
    """The part of the model below its head.

    Attributes:
        name: `small`, a keras.applications name, or `keras_hub:` and the name
            or folder of a preset.
        width: filters of the small encoder's first convolution.
        weights: from which every model starts, `scratch` too: none for random
            ones; `imagenet` (keras.applications) or `preset` (keras-hub),
            downloaded if need be; or a weights file. See `backbones`.
        precision: `float32`; or `mixed_bfloat16`, faster on GPUs, TPUs and new
            processors. A `generalist_path` keeps its own.
    """

    name: str = "small"
    width: int = 8
    weights: str = ""
    precision: str = "float32"


@dataclasses.dataclass(slots=True, kw_only=True)
class Training:
    """One stage of training on the source.

    Stochastic gradient descent with Nesterov momentum .9 and decoupled weight
    decay 5e-3; a tenth of the steps ramps the learning rate up to
    `learning_rate`, a half cosine brings it to zero.

    Attributes:
        steps: optimizer steps.
        batch_size: images per step.
        learning_rate: the largest.
    """

    steps: int
    batch_size: int = 64
    learning_rate: float = 0.05


@dataclasses.dataclass(slots=True, kw_only=True)
class FineTuning:
    """Training on the labelled target.

    Attributes:
        steps: optimizer steps with all layers trainable.
        head_steps: steps before those that train the head alone; not in joint
            training.
        batch_size: images per step.
        learning_rates: the grid; each method's rate is chosen on validation
            images.
        head: the target head starts `related`, each target class as the
            mixture of source classes that its labelled images look like,
            `fresh`, or `chosen`: `related`, unless both `finetune` and
            `finetune_related` are run and the validation images of all seeds
            tell, by more than a standard error, that the fresh one fine-tunes
            better. Always fresh in `scratch` and `finetune`.
    """

    steps: int = 80
    head_steps: int = 0
    batch_size: int = 32
    learning_rates: tuple[float, ...] = (0.02, 0.05)
    head: str = "chosen"


@dataclasses.dataclass(slots=True, kw_only=True)
class Datl:
    """How the importance weights are estimated, shaped and applied.

    Attributes:
        estimator: `mean`, `em` or `bbse`.
        temperature: softens the generalist's predictions.
        calibrate: fit a temperature on held-out source images first.
        temper: exponent of P_t / P_s.
        clip: largest ratio; 0 for no limit.
        floor: smallest ratio.
        top_k: classes kept; 0 keeps all.
        apply: `draw` (random access), `resample` (streaming), `elastic`
            (streaming, without replacement) or `attach` (sample weights).
        start: the second pre-training, weighted or not, starts from the
            `generalist`, or from `random` weights as in the paper.
        every: epochs (tenths of the pre-training) between new estimates from
            the model in training; 0 for none.
    """

    estimator: str = "mean"
    temperature: float = 1.0
    calibrate: bool = False
    temper: float = 1.0
    clip: float = 0.0
    floor: float = 0.0
    top_k: int = 0
    apply: str = "draw"
    start: str = "generalist"
    every: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class L2tl:
    """How the class weights are learned.

    The learned weights are then fixed for joint training on source and all
    labelled target images, from where fine-tuning starts too, with the steps,
    batches and learning rates of `finetuning`. The controls train likewise.

    Attributes:
        joint_share: share of those steps that are joint; the rest is on the
            target alone.
        relabel: in those steps learn from source images which target classes
            their class looks like to a model fine-tuned before (from a
            related head), not the class itself; not in `joint`.
        steps: joint steps in which the weights are learned, with the source
            batches of `pretraining`.
        learning_rate: of the model in these steps.
        policy_learning_rate: of Adam on the policy.
        policy_warmup: first steps in which the policy stays as it is.
        levels: of each class weight, from 0 to 1.
        entropy: coefficient of the entropy bonus.
        credit: `feature`, `gradient` or `reinforce`; see `credit`.
        reward: `accuracy`, `auc`, `mean_per_class_accuracy` or
            `negative_loss`, on the validation images; `reinforce` learns
            from it, with the other credits it is only logged.
        improvement: reward the change by a step, not the level.
        oversample: of each source batch, keep one example in so many.
        start: `flat`, or `datl` to start at DATL's weights.
    """

    joint_share: float = 0.6
    relabel: bool = True
    steps: int = 150
    learning_rate: float = 0.02
    policy_learning_rate: float = 0.02
    policy_warmup: int = 40
    levels: int = 11
    entropy: float = 0.1
    credit: str = "feature"
    reward: str = "accuracy"
    improvement: bool = False
    oversample: int = 1
    start: str = "datl"


@dataclasses.dataclass(slots=True, kw_only=True)
class Experiment:
    """Methods and their controls on one source and one target.

    Attributes:
        methods: names from `methods.METHODS`.
        seeds: runs of each method; data subset, initialisation and order are
            drawn anew for each.
        generalist: training of the first model on the whole source.
        generalist_path: a `.keras` source classifier to use instead.
        pretraining: the further training on the source that methods shape.
        relevant: names of the source classes that are known to be right, by
            which the weights are judged; nothing else depends on it.
        strategy: `none`, `mirrored`, `multi_worker` or `tpu`; see
            `distribution.strategy`.
        checkpoint_every: steps between the checkpoints from which an
            interrupted run goes on.

    >>> Experiment(methods=("finetune", "datl"), seeds=3).pretraining.steps
    300
    """

    data: Data = dataclasses.field(default_factory=Data)
    encoder: Encoder = dataclasses.field(default_factory=Encoder)
    generalist: Training = dataclasses.field(
        default_factory=lambda: Training(steps=300)
    )
    generalist_path: str = ""
    pretraining: Training = dataclasses.field(
        default_factory=lambda: Training(steps=300)
    )
    finetuning: FineTuning = dataclasses.field(default_factory=FineTuning)
    datl: Datl = dataclasses.field(default_factory=Datl)
    l2tl: L2tl = dataclasses.field(default_factory=L2tl)
    methods: tuple[str, ...] = (
        "scratch",
        "finetune",
        "finetune_related",
        "datl",
        "datl_uniform",
        "datl_reversed",
        "joint",
        "l2tl",
        "l2tl_frozen",
    )
    seeds: int = 5
    relevant: tuple[str, ...] = ()
    strategy: str = "none"
    checkpoint_every: int = 100

    @property
    def joint_steps(self) -> int:
        """How many of the steps of fine-tuning are joint."""
        return round(self.l2tl.joint_share * self.finetuning.steps)


def completed(found: dict) -> dict:
    """Returns an `asdict` configuration with the defaults of later fields.

    That of a run from before a field was there is the same as one with the
    field's default.
    """

    def merge(defaults: dict, given: dict) -> dict:
        both = {
            name: merge(default, given[name])
            for name, default in defaults.items()
            if isinstance(default, dict) and isinstance(given.get(name), dict)
        }
        return defaults | given | both

    return merge(dataclasses.asdict(Experiment()), found)


def differences(one: dict, other: dict, prefix: str = "") -> list[str]:
    """Lists the fields in which two `asdict` configurations differ."""
    found = []
    for name in sorted(set(one) | set(other)):
        a, b = one.get(name), other.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(f"{prefix}{name}: {a} and {b}")
    return found


def get_config() -> Experiment:
    """Returns the built-in experiment, for a command without `--config`."""
    # As a config file this module is loaded a second time, by a name that
    # another process cannot import.
    return importlib.import_module("tf_transfer.config").Experiment()
