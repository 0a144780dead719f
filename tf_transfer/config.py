"""The settings of an experiment. Imports no TensorFlow.

A config file returns an `Experiment`; any field can be overridden on the
command line, e.g. `--config.data.labels_per_class=5`.
"""

import dataclasses
import importlib

from tf_transfer.rules import (
    at_least,
    between,
    fraction,
    from_data,
    not_negative,
    one_of,
    positive,
    positive_numbers,
    setting,
    share,
)


@dataclasses.dataclass(slots=True, kw_only=True)
class Data:
    """The source and the target: which images, how many and how large.

    Attributes:
        source: data set name, or several joined by `+`; see `data.raw.loaders`.
        target: data set name. Without a name it is `digits`, unless there are
            unlabelled images, which are enough for `weights`.
        unlabelled: name of more target images, whose labels are not used; of a
            folder all images at any depth. The importance weights are
            estimated from them and from the labelled images together.
        source_labels: `given`, or `clusters`: k-means of an encoder's features
            makes the classes of a source without labels. The encoder is that
            of `encoder` if it has trained weights, else `models.patch_encoder`.
        clusters: how many, here and in `datl_clusters`; fewer of few images.
        source_classes, target_classes: names of the classes to use; empty
            for all.
        image_size: side in pixels of the images that the model receives; 0
            for what the data suggest, see `experiment.defaults`.
        channels: 1 for grey, 3 for colour, 0 for what the data suggest.
        align: give source and target images the same framing and polarity;
            see `data.framing`.
        max_pixels: larger image files are refused.
        damaged: `refuse` or `skip` image files that cannot be read.
        memory_share: a data set whose framed images would take a larger share
            of the memory is stored on the disk. It changes no result.
        cache: the folder of what is stored; see `data.store.cache`.
        decode: `once` frames all images before training; `as_needed` whenever
            they are read, with neither memory nor disk for them. `auto` is
            `once`, unless images of 128 pixels would take more than 8 GiB.
        augment: how training images are changed at random, of source and
            target alike: `none`, `flip_crop` or `randaugment`; `auto` for what
            the data suggest. See `data.augmentation`.
        source_per_class: source images used of each class; 0 for all.
        labels_per_class: labelled target images of each class, drawn anew by
            each seed; 0 for all labelled images outside the test part.
        validation_per_class: how many of those are held out to choose the
            learning rate and the best method; 0 for a part of them, of all
            labelled images another one for each seed. See `split_target`.
        test_share: of each class, for the test part of a target that has none
            of its own.
    """

    source: str = "glyphs"
    target: str = ""
    unlabelled: str = ""
    source_labels: str = setting("given", one_of("given", "clusters"))
    clusters: int = setting(100, at_least(2))
    source_classes: tuple[str, ...] = ()
    target_classes: tuple[str, ...] = ()
    image_size: int = from_data(0, not_negative)
    channels: int = from_data(0, not_negative)
    align: bool = True
    max_pixels: int = setting(50_000_000, positive)
    damaged: str = setting("refuse", one_of("refuse", "skip"))
    memory_share: float = setting(0.01, not_negative)
    cache: str = ""
    decode: str = setting("auto", one_of("auto", "once", "as_needed"))
    augment: str = from_data(
        "auto", one_of("auto", "none", "flip_crop", "randaugment")
    )
    source_per_class: int = setting(0, not_negative)
    labels_per_class: int = setting(0, not_negative)
    validation_per_class: int = setting(0, not_negative)
    test_share: float = setting(0.2, share)


@dataclasses.dataclass(slots=True, kw_only=True)
class Encoder:
    """The part of the model below its head.

    Attributes:
        name: `small`, a keras.applications name, or `keras_hub:` and the name
            or folder of a preset.
        width: filters of the small encoder's first convolution.
        form: of the small encoder: `flat` knows where a stroke is, and suits
            scans and drawings; `pooled` suits photographs, and learns earlier.
            `auto` for what the data suggest; see `models.small_encoders`.
        weights: initial weights of every model, that of `scratch` too. Empty
            for random weights; `imagenet` or `preset`, downloaded if needed;
            or a weights file. See `models.encoders`.
        precision: `float32`, or `mixed_bfloat16`, which is faster on GPUs and
            TPUs. A model from `generalist_path` keeps its own precision.
    """

    name: str = "small"
    width: int = 8
    form: str = from_data("auto", one_of("auto", "flat", "pooled"))
    weights: str = ""
    precision: str = setting("float32", one_of("float32", "mixed_bfloat16"))


@dataclasses.dataclass(slots=True, kw_only=True)
class Training:
    """One stage of training on the source.

    The learning rate rises to `learning_rate` over the first tenth of the
    steps and falls to zero along a half cosine.

    Attributes:
        steps: optimizer steps; 0 for about three passes over the source, and
            fewer if it is large; see `experiment.defaults`.
        passes: instead of steps, how often the source is passed over; .25
            takes a quarter of its images. 0 for a number of steps.
        batch_size: images per step; 0 for what the images' size suggests.
        learning_rate: the peak of the schedule; 0 for the best of short
            trainings, by source images that are held out from them; see
            `experiment.rates`.
    """

    steps: int = from_data(0, not_negative)
    passes: float = setting(0.0, not_negative)
    batch_size: int = from_data(0, not_negative)
    learning_rate: float = setting(0.0, not_negative)


@dataclasses.dataclass(slots=True, kw_only=True)
class FineTuning:
    """Training on the labelled target.

    Attributes:
        steps: optimizer steps with all layers trainable; 0 for what the
            number of labels suggests, see `experiment.defaults`.
        head_steps: steps before those in which only the head is trained; not
            used in joint training.
        batch_size: images per step; 0 for what the number of labels suggests.
        learning_rates: the candidates; each method's learning rate is chosen
            on the validation images. Empty for two that suit the optimizer.
        head: how the target head starts. `related` starts each target class
            as the mixture of source classes that its labelled images look
            like; `fresh` starts at random. `chosen` is `related`, unless both
            `finetune` and `finetune_related` are run and the fresh head is
            better on the validation images of all seeds, by more than a
            standard error. `scratch` and `finetune` always start fresh.
        source_loss: weight of the source head's loss in co-tuning.
    """

    steps: int = from_data(0, not_negative)
    head_steps: int = setting(0, not_negative)
    batch_size: int = from_data(0, not_negative)
    learning_rates: tuple[float, ...] = from_data((), positive_numbers)
    head: str = setting("chosen", one_of("chosen", "related", "fresh"))
    source_loss: float = setting(0.3, not_negative)


@dataclasses.dataclass(slots=True, kw_only=True)
class Datl:
    """How the importance weights are estimated, shaped and applied.

    Attributes:
        estimator: `mean`, `em`, `bbse` or `lift`; see
            `datl.estimate_target_prior`.
        temperature: softens the generalist's predictions.
        calibrate: first fit a temperature on held-out source images.
        shape: `ratio` gives a class the weight P_t / P_s, as shaped below;
            `cut` gives equal weights to the classes of the largest ratios, as
            many as `repeats` asks for, and none to the others.
        repeats: how often the pre-training may draw an image, on average over
            those of a class; what a weight is above that goes to the next
            classes. 0 for no limit. It holds for `l2tl`, too: for the weights
            at which it starts, and for `l2tl.pretrain`.
        temper: exponent of P_t / P_s.
        clip: the largest ratio; 0 for no limit.
        floor: the smallest ratio.
        top_k: how many of the largest weights are used; 0 for all.
        apply: `draw` (random access), `resample` (streaming), `elastic`
            (streaming, without replacement) or `attach` (sample weights).
        start: where the second pre-training starts, weighted or not: at the
            `generalist`, or at `random` weights as in the paper.
        every: epochs (tenths of the pre-training) between new estimates by
            the model in training; 0 for none.
        growing: over how many of the ten epochs the weights grow from nearly
            equal to their full size; 0 for full weights from the start.
    """

    estimator: str = setting("mean", one_of("mean", "em", "bbse", "lift"))
    temperature: float = setting(1.0, positive)
    calibrate: bool = False
    shape: str = setting("ratio", one_of("ratio", "cut"))
    repeats: float = setting(0.0, not_negative)
    temper: float = setting(1.0, not_negative)
    clip: float = setting(0.0, not_negative)
    floor: float = setting(0.0, not_negative)
    top_k: int = setting(0, not_negative)
    apply: str = setting(
        "draw", one_of("draw", "resample", "elastic", "attach")
    )
    start: str = setting("generalist", one_of("generalist", "random"))
    every: int = setting(0, not_negative)
    growing: int = setting(0, between(0, 10))


@dataclasses.dataclass(slots=True, kw_only=True)
class Examples:
    """How `datl_examples` and `datl_clusters` weigh single examples.

    Attributes:
        temper: exponent of the ratio P_t(x) / P_s(x); 0 goes by beliefs alone.
        floor, clip: the smallest and the largest ratio, relative to the mean
            of all; a clip of 0 for no limit.
        beliefs: whether to multiply by the beliefs in labels, squared.
        sample: source images from which the scores are learned.
    """

    temper: float = setting(0.5, not_negative)
    floor: float = setting(0.1, between(0, 1))
    clip: float = setting(10.0, not_negative)
    beliefs: bool = False
    sample: int = setting(10_000, at_least(2))


@dataclasses.dataclass(slots=True, kw_only=True)
class L2tl:
    """How the class weights are learned.

    Joint training on the source and all labelled target images then uses the
    learned weights unchanged. It starts where fine-tuning starts, and uses the
    steps, batches and learning rates of `finetuning`. So do the controls.

    Attributes:
        joint_share: fraction of those steps that are joint; the rest uses the
            target alone.
        relabel: in those steps, replace the class of a source image by the
            target classes that a fine-tuned model sees in it. Not in `joint`.
        pretrain: pre-train further by these weights, too; they are then learned
            from the generalist, and do not change as DATL's can.
        steps: joint steps that learn weights, on batches as in `pretraining`.
        passes: instead of steps, as in `Training`.
        learning_rate: of the model then; 0 for one that suits the optimizer.
        policy_learning_rate: of Adam on the policy.
        policy_warmup: number of first steps that leave the policy unchanged.
        levels: number of values of each class weight, from 0 to 1.
        entropy: coefficient of the entropy bonus.
        credit: `feature`, `gradient` or `reinforce`; see `l2tl.credits`.
        reward: `accuracy`, `auc`, `mean_per_class_accuracy` or
            `negative_loss`, on the validation images. `reinforce` learns
            from the reward; the other credits only log it.
        improvement: reward the change in a step, not the value.
        oversample: draw so many times the source batch, and use the examples
            of the largest weights.
        start: `flat`, or `datl` to start at DATL's weights.
    """

    joint_share: float = setting(0.6, fraction)
    relabel: bool = True
    pretrain: bool = False
    steps: int = setting(150, positive)
    passes: float = setting(0.0, not_negative)
    learning_rate: float = setting(0.0, not_negative)
    policy_learning_rate: float = setting(0.02, positive)
    policy_warmup: int = setting(40, not_negative)
    levels: int = setting(11, at_least(2))
    entropy: float = setting(0.1, not_negative)
    credit: str = setting("feature", one_of("feature", "gradient", "reinforce"))
    reward: str = setting(
        "accuracy",
        one_of("accuracy", "auc", "mean_per_class_accuracy", "negative_loss"),
    )
    improvement: bool = False
    oversample: int = setting(1, positive)
    start: str = setting("datl", one_of("flat", "datl"))


@dataclasses.dataclass(slots=True, kw_only=True)
class Experiment:
    """Methods and their controls on one source and one target.

    Attributes:
        methods: names from `experiment.methods`.
        seeds: runs of each method; every run draws its own data subset,
            initialisation and order.
        generalist: training of the first model, on the whole source.
        generalist_path: a `.keras` source classifier to use instead.
        optimizer: of all stages: `sgd`, `adamw` or `muon`; `auto` for what
            suits the encoder. See `experiment.stages.optimizers`.
        pretraining: the second training on the source, which the methods
            shape.
        relevant: names of the source classes that are known to be useful. The
            report compares the weights with them; training ignores them.
        strategy: `none`, `mirrored`, `multi_worker` or `tpu`; see
            `training.distribution`.
        checkpoint_every: steps between checkpoints, from which an interrupted
            run continues.

    >>> Experiment(methods=("finetune", "datl"), seeds=3).l2tl.steps
    150
    """

    data: Data = dataclasses.field(default_factory=Data)
    encoder: Encoder = dataclasses.field(default_factory=Encoder)
    generalist: Training = dataclasses.field(default_factory=Training)
    generalist_path: str = ""
    optimizer: str = from_data("auto", one_of("auto", "sgd", "adamw", "muon"))
    pretraining: Training = dataclasses.field(default_factory=Training)
    finetuning: FineTuning = dataclasses.field(default_factory=FineTuning)
    datl: Datl = dataclasses.field(default_factory=Datl)
    examples: Examples = dataclasses.field(default_factory=Examples)
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
    seeds: int = setting(5, between(1, 10_000))
    relevant: tuple[str, ...] = ()
    strategy: str = setting(
        "none", one_of("none", "mirrored", "multi_worker", "tpu")
    )
    checkpoint_every: int = setting(100, positive)

    @property
    def joint_steps(self) -> int:
        """Number of fine-tuning steps that are joint."""
        return round(self.l2tl.joint_share * self.finetuning.steps)


def get_config() -> Experiment:
    """Returns the built-in experiment, for a command without `--config`."""
    # ml_collections loads this module a second time, under a name that other
    # processes cannot import.
    return importlib.import_module("tf_transfer.config").Experiment()
