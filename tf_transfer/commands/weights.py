"""The command `weights`: a first look at the importance weights."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_transfer.commands.preparation import completion, inputs, resources
from tf_transfer.config import Experiment
from tf_transfer.data.image_data import ImageData
from tf_transfer.data.splits import TargetSplit
from tf_transfer.experiment import facts
from tf_transfer.experiment.compiled_models import CompiledModels
from tf_transfer.experiment.records import label_check, reuse
from tf_transfer.experiment.records.forecast import NAME
from tf_transfer.experiment.records.run_folder import RunFolder
from tf_transfer.experiment.records.weights_file import WeightTable
from tf_transfer.experiment.seed_run import SeedRun
from tf_transfer.experiment.stages import rates
from tf_transfer.report import figures
from tf_transfer.report.verdict import verdict
from tf_transfer.training import distribution
from tf_transfer.utils.progress import Progress, alive


@dataclasses.dataclass(frozen=True, eq=False)
class WeightEstimate:
    """The importance weights of C source classes, and what they promise.

    Printed, it is the text of the command `tf-transfer weights`.

    Attributes:
        class_names: of the source, C of them.
        weights: of the classes, `[C]` float64; the mean over the source's
            images is 1.
        target_prior: P_t, the estimated share of each source class among the
            target images, `[C]`, sum 1.
        source_accuracy: of the generalist on a sample of its source, in 0..1.
        expected_gain: of DATL over `finetune_related`, in points of accuracy;
            None for a generalist from a file, whose training is not known.
        verdict: the text.

    Example:

    >>> estimate = WeightEstimate(
    ...     ["cat", "car"], np.array([0.2, 1.8]), np.array([0.1, 0.9]),
    ...     source_accuracy=0.6, expected_gain=0.1, verdict="Like a car.")
    >>> estimate.class_names[estimate.weights.argmax()], str(estimate)
    ('car', 'Like a car.')
    """

    class_names: Sequence[str]
    weights: np.ndarray
    target_prior: np.ndarray
    source_accuracy: float
    expected_gain: float | None
    verdict: str

    def __str__(self) -> str:
        return self.verdict


def estimate_weights(
    config: Experiment,
    out: str | os.PathLike,
    *,
    source: Any = None,
    target: Any = None,
    unlabelled: ImageData | None = None,
    quiet: bool = False,
    generalists: str | os.PathLike | None = None,
) -> WeightEstimate:
    """Estimates the importance weights of the source classes, and no more.

    It trains one model on the source, the generalist, with the first seed, and
    shows it the target's images. These need no labels; labelled ones are used
    with the others if there are some, and `config.data.target` may be empty.
    The folder then holds `weights.csv`, figures and `forecast.json`. A second
    call with the same folder and configuration trains nothing again.

    Args:
        config: the experiment; methods and seeds are not used.
        out: the folder of the results.
        source: labelled source images instead of `config.data.source`:
            `ImageData`, a `tf.data.Dataset`, or a source with `__len__` and
            `__getitem__`, of any size; see `from_dataset`.
        target: labelled target images instead of `config.data.target`,
            likewise.
        unlabelled: target images without labels instead of
            `config.data.unlabelled`; their class numbers are ignored.
        quiet: print no progress.
        generalists: the folder of an earlier run with the same source, whose
            generalist is used again.

    Returns:
        The weights, one for each source class, with a verdict and a forecast.

    Raises:
        InputError: if the settings, the data or the folder cannot be used.

    Example:

    >>> from tf_transfer import config
    >>> images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1))
    >>> source = ImageData(
    ...     images.astype(np.uint8), np.arange(24) % 2, ["cat", "car"])
    >>> target = source.take(np.arange(1, 24, 2))  # the cars
    >>> settings = Experiment(
    ...     encoder=config.Encoder(width=4),
    ...     generalist=config.Training(steps=4, learning_rate=0.01))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     estimate = estimate_weights(
    ...         settings, f"{folder}/weights", source=source,
    ...         unlabelled=target, quiet=True)
    >>> estimate.class_names, estimate.weights.shape
    (['cat', 'car'], (2,))
    """
    with alive(quiet):
        inputs.check(config)
        config, arrays = completion.framed(
            config, source=source, target=target, unlabelled=unlabelled
        )
        loaded = inputs.load(
            config,
            **arrays,
            quiet=quiet,
            new=not os.path.exists(out),
            labels=False,
        )
        return _estimate(loaded, out, quiet, generalists)


def _estimate(
    loaded: inputs.Inputs,
    out: str | os.PathLike,
    quiet: bool,
    generalists: str | os.PathLike | None,
) -> WeightEstimate:
    """Does what `estimate_weights` does, with the data loaded."""
    config, source, target = loaded.config, loaded.source, loaded.target
    resources.check(config, source, target)
    if target.num_classes > 1:
        parts = inputs.split_target(config, target, [0], loaded.unlabelled)
        split = parts[0]
    else:
        # Without labels there is nothing to split.
        split = TargetSplit(*[target] * 4, loaded.unlabelled)
    models = CompiledModels.of(config, source, target)
    chief = distribution.is_chief(models.strategy)
    with RunFolder(
        out, config, loaded.fingerprints, writes=chief, alone=True
    ) as folder:
        if generalists:
            reuse.take_over(folder, generalists, config, loaded.fingerprints)
        steps = 0 if config.generalist_path else config.generalist.steps
        progress = Progress(steps, quiet or not chief)
        if not config.generalist.learning_rate:
            progress.start("learning rate")
        rate = rates.settle(
            models.source,
            lambda: models.random_state(seed=0),
            source,
            config.generalist,
            folder,
        )
        progress.start("generalist")
        run = SeedRun(
            models,
            source,
            split,
            0,
            folder,
            progress.advance,
            source_rate=rate,
        )
        table = WeightTable.from_run(run)
        accuracy = run.source_accuracy  # all workers take part
        labels = None
        if config.examples.beliefs:
            labels = facts.label_check(run)
            folder.write(label_check.NAME, dataclasses.asdict(labels))
        folder.forget_stages(seed=0)
        progress.close()
        forecast = None
        if not config.generalist_path:  # else its passes are not known
            forecast = facts.forecast(run)
            folder.write(NAME, dataclasses.asdict(forecast))
        if chief:
            table.write_csv(folder.files)
            figures.write_weights(folder.files, table, source, split.for_prior)
        diagnostics = run.estimate_importance().diagnostics(
            run.estimate_target_prior().prior,
            run.source.prior,
            run.passes_drawn,
        )
        return WeightEstimate(
            table.class_names,
            table.mean("weight"),
            table.mean("target_prior"),
            accuracy,
            forecast and forecast.gain,
            verdict(table, diagnostics, accuracy, forecast)
            + (
                f"\nData: {labels.sentence(table.class_names)}."
                if labels
                else ""
            ),
        )
