"""The registry of methods: what a comparison needs to know of each."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tf_transfer.config import Experiment

if TYPE_CHECKING:
    from tf_transfer.data.image_data import ImageData
    from tf_transfer.experiment.compiled_models import Outcome
    from tf_transfer.experiment.seed_run import SeedRun

Stages = dict[str, int]
"""Optimizer steps by stage. Methods that share a stage give it one name."""


def _nothing(config: Experiment, target: "ImageData | None") -> None:
    """Accepts all settings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A method or control that `compare` can run.

    Attributes:
        train: runs the method for one seed.
        stages: the optimizer steps that it takes with some settings.
        candidate: whether `compare` may choose it for use.
        controls: methods that it must beat for a gain to be its own.
        head: how its target head starts, `"fresh"` or `"related"`; None for
            the head of the experiment, see `config.FineTuning`.
        family: the method whose colour it shares in figures; by default its
            own name.
        joint: whether it fine-tunes on source and target together, for a
            part of the steps.
        learns_weights: whether it learns class weights while it trains, and
            logs them in a stage `learning`.
        check: raises InputError if settings, or settings and target, do not
            suit the method. The target is None before the data is loaded.
    """

    train: Callable[["SeedRun"], "Outcome"]
    stages: Callable[[Experiment], Stages]
    candidate: bool = False
    controls: tuple[str, ...] = ()
    head: str | None = None
    family: str = ""
    joint: bool = False
    learns_weights: bool = False
    check: Callable[[Experiment, "ImageData | None"], None] = _nothing

    @property
    def name(self) -> str:
        return self.train.__name__

    @property
    def about(self) -> str:
        """The first line of the docstring, for tables and reports."""
        return (self.train.__doc__ or "").partition("\n")[0]

    def __call__(self, run: "SeedRun") -> "Outcome":
        return self.train(run)

    @property
    def uses_source(self) -> bool:
        """Whether it starts from a model trained on the source."""
        return GENERALIST in self.stages(Experiment())


METHODS: dict[str, Method] = {}
"""All methods by name, in the order in which they were registered."""

GENERALIST = "generalist"
"""The stage that trains the first model on the whole source."""


def register(**facts) -> Callable[[Callable[["SeedRun"], "Outcome"]], Method]:
    """Registers the decorated function as a method under its own name.

    Args:
        **facts: the attributes of `Method` but `train`.

    Returns:
        The decorator.

    Example:

    >>> @register(stages=lambda config: tuning(config, "blind"))
    ... def blind(run):
    ...     '''Fine-tunes a model that has seen nothing.'''
    ...     return run.finetune(run.random_state())
    >>> METHODS.pop("blind").about
    'Fine-tunes a model that has seen nothing.'
    """

    def add(train: Callable[["SeedRun"], "Outcome"]) -> Method:
        method = Method(train=train, **facts)
        METHODS[method.name] = method
        return method

    return add


def whole_source(config: Experiment) -> Stages:
    """Returns the stage that trains the generalist."""
    return {GENERALIST: config.generalist.steps}


def pretrained(config: Experiment, name: str) -> Stages:
    """Returns the stages that train further on the source.

    Args:
        config: the experiment.
        name: of the method, or of what methods share: `unweighted` for the
            whole source, `weighted` for DATL's weights.
    """
    steps = config.pretraining.steps
    return whole_source(config) | {f"{name}/pretraining": steps}


def tuning(config: Experiment, name: str, heads: bool = True) -> Stages:
    """Returns the stages that train on the target, once for each rate.

    One more run trains on all labelled images at the rate that was chosen.

    Args:
        config: the experiment.
        name: of the method, or of what methods share.
        heads: whether the head is trained alone first.
    """
    settings = config.finetuning
    runs = len(settings.learning_rates) + 1
    stages = {f"{name}/finetuning": runs * settings.steps}
    if heads:
        stages[f"{name}/head"] = runs * settings.head_steps
    return stages


def source_images(config: Experiment, name: str) -> int:
    """Returns how many source images a method's final model has seen.

    Those of the generalist count, unless it was given; an image that is seen
    again counts again. The trainings that find rates do not count.
    """
    generalist, further = config.generalist, config.pretraining
    seen = 0
    for stage, steps in METHODS[name].stages(config).items():
        if stage == GENERALIST and not config.generalist_path:
            seen += steps * generalist.batch_size
        elif stage.endswith(("/pretraining", "/learning")):
            seen += steps * further.batch_size
    if METHODS[name].joint:
        seen += config.joint_steps * further.batch_size
    return seen


def use_source(methods: Iterable[str]) -> bool:
    """Returns whether any of the methods uses the source."""
    return any(METHODS[name].uses_source for name in methods)


def planned_steps(
    config: Experiment, methods: Iterable[str], has_generalist: bool = False
) -> int:
    """Returns the optimizer steps that methods take together, for one seed.

    Stages that they share count once.

    Args:
        config: the experiment.
        methods: names of methods.
        has_generalist: whether the generalist is trained already.
    """
    stages: Stages = {}
    for name in methods:
        stages |= METHODS[name].stages(config)
    if has_generalist or config.generalist_path:
        stages.pop(GENERALIST, None)
    return sum(stages.values())
