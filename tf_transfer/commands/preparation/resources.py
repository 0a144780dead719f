"""Whether a run fits into the memory, before anything is trained."""

import dataclasses
import math

import keras

from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.errors import InputError
from tf_transfer.experiment.methods import METHODS
from tf_transfer.models import encoders, small_encoders
from tf_transfer.utils import environment
from tf_transfer.utils.progress import warn

_FLOAT = 4  # bytes
_BASE = 2**29  # what TensorFlow takes without a model
# At least so many copies of the parameters live at a time: three models, the
# momentum of two, and the gradients.
_COPIES = 6
# Logits, start, gradient, both moments of Adam, and the values before a step.
_POLICY_COPIES = 6


@dataclasses.dataclass(frozen=True)
class _Part:
    """A part of the memory.

    Attributes:
        size: in bytes, at least.
        what: for a person.
        settings: that make it smaller, and their values.
    """

    size: int
    what: str
    settings: dict[str, object]


def check_settings(config: Experiment) -> None:
    """Checks the models of a new run before its images are loaded.

    Raises:
        InputError: as `check`, for the small encoder.
    """
    if config.encoder.name == "small":
        side = config.data.image_size
        shape = (side, side, config.data.channels)
        _needed(_model_parts(config, shape, num_classes=0))


def check(config: Experiment, source: ImageData, target: ImageData) -> int:
    """Checks that a process that trains one seed fits into the memory.

    The estimate is a lower bound: what it refuses could not run.

    Args:
        config: the experiment.
        source: the source images.
        target: the whole target.

    Returns:
        The bytes that such a process needs at least.

    Raises:
        InputError: if there is less memory.
    """
    images = _Part(
        source.images.nbytes + target.images.nbytes,
        "the framed images",
        {"data.image_size": config.data.image_size},
    )
    shape = source.images.shape[1:]
    return _needed([images, *_model_parts(config, shape, source.num_classes)])


def _needed(parts: list[_Part]) -> int:
    """Returns the bytes of all parts and of TensorFlow.

    Raises:
        InputError: if there is less memory.
    """
    needed = _BASE + sum(part.size for part in parts)
    memory = environment.memory()
    if needed > memory:
        most = max(parts, key=lambda part: part.size)
        values = ", ".join(f"{k}={v}" for k, v in most.settings.items())
        raise InputError(
            f"The run needs at least {_gigabytes(needed)} of memory, and there "
            f"are {_gigabytes(memory)}; {_gigabytes(most.size)} are for "
            f"{most.what}: lower {' or '.join(f'`{k}`' for k in most.settings)}"
            f". Received: {values}"
        )
    return needed


def limited(jobs: int, needed: int) -> int:
    """Returns how many processes train at the same time.

    They are no more than the processors, and fit into the memory.

    Args:
        jobs: the number that was asked for.
        needed: the bytes that one process needs at least.
    """
    most = min(environment.processors(), environment.memory() // needed)
    most = max(1, most)
    if jobs > most:
        warn(
            f"{most} processes train at the same time, not {jobs}: there are "
            f"{environment.processors()} processors, and each process needs at "
            f"least {_gigabytes(needed)} of memory."
        )
    return min(jobs, most)


def _model_parts(
    config: Experiment, shape: tuple[int, int, int], num_classes: int
) -> list[_Part]:
    """Returns what models of images of a shape need."""
    parameters, outputs = _footprint(config, shape)
    first, second = config.generalist, config.pretraining
    tuning, policy = config.finetuning, config.l2tl
    image = _FLOAT * math.prod(shape)
    learns = any(METHODS[name].learns_weights for name in config.methods)
    candidates = second.batch_size * (policy.oversample if learns else 1)
    width = {"encoder.width": config.encoder.width}
    side = {"data.image_size": config.data.image_size}
    steps = {
        "generalist.batch_size": first.batch_size,
        "pretraining.batch_size": second.batch_size,
        "finetuning.batch_size": tuning.batch_size,
    }
    largest = max(steps, key=steps.get)
    small = config.encoder.name == "small"
    levels = policy.levels * (1 + num_classes) if learns else 0
    return [
        _Part(
            _FLOAT * _COPIES * parameters,
            f"the {parameters:,} parameters of the models",
            width | side if small else {"encoder.name": config.encoder.name},
        ),
        _Part(
            _FLOAT * steps[largest] * outputs,
            "the outputs of all layers in a step",
            {largest: steps[largest]} | side | (width if small else {}),
        ),
        _Part(
            image * candidates,
            "the candidates of a step",
            {
                "l2tl.oversample": policy.oversample,
                "pretraining.batch_size": second.batch_size,
            },
        ),
        _Part(
            _FLOAT * _POLICY_COPIES * levels,
            "the policy",
            {"l2tl.levels": policy.levels},
        ),
    ]


def _footprint(
    config: Experiment, shape: tuple[int, int, int]
) -> tuple[int, int]:
    """Returns the numbers of parameters, and of outputs for one image."""
    settings = config.encoder
    if settings.name == "small" and not config.generalist_path:
        return small_encoders.small_footprint(
            shape, settings.width, settings.form
        )
    if config.generalist_path:
        return 0, 0  # it is loaded, and fits
    model = encoders.encoder(settings.name, shape)
    return model.count_params(), _outputs(model)


def _outputs(model: keras.Model) -> int:
    """Returns the values that all layers return for one image."""
    count = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            count += _outputs(layer)
        elif layer.weights:  # those of others may be computed in place
            count += math.prod(side or 1 for side in layer.output.shape[1:])
    return count


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
